"""Exporters beside importers, on fresh databases of both silos."""

from collections.abc import Callable

import pytest

from tests.integration.exports.stack import ExportStack
from tests.integration.imports.conftest import make_stack
from tests.integration.imports.stack import ImportStack

__all__ = ["make_stack", "stack"]


@pytest.fixture
def stack(make_stack: Callable[[], ImportStack]) -> ExportStack:
    return ExportStack(make_stack())
