"""Exporters beside importers, on fresh databases of both silos."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.exports.doors import Doors
from tests.integration.exports.stack import ExportStack
from tests.integration.imports.conftest import make_stack
from tests.integration.imports.stack import ImportStack

__all__ = ["doors", "make_stack", "stack"]


@pytest.fixture
def stack(make_stack: Callable[[], ImportStack]) -> ExportStack:
    return ExportStack(make_stack())


@pytest.fixture
def doors(stack: ExportStack, tmp_path: Path) -> Iterator[Doors]:
    with ExitStack() as cleanup:
        yield Doors(stack, tmp_path, cleanup)
