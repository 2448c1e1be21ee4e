"""The region's public door with FileComparisonService, beside exporters and importers on fresh databases."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.exports.conftest import make_stack, stack
from tests.integration.exports.stack import ExportStack
from tests.integration.file_comparison.doors import Doors

__all__ = ["doors", "make_stack", "stack"]


@pytest.fixture
def doors(stack: ExportStack) -> Iterator[Doors]:
    with ExitStack() as cleanup:
        yield Doors(stack, cleanup)
