"""Importers on fresh databases of both silos."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.database import Database
from shared.snowflake.allocator import SnowflakeAllocator
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos
from tests.integration.imports.doors import Doors
from tests.integration.imports.stack import REGION, ImportStack


@pytest.fixture
def make_stack(
    make_database: Callable[[str | None], str],
    make_region_database: Callable[[str, int], str],
    control_template: str,
    clock: FakeClock,
    tmp_path: Path,
) -> Iterator[Callable[[], ImportStack]]:
    """Make a control and a region `us` with nothing in them, as often as wanted."""
    with ExitStack() as cleanup:
        made: list[ImportStack] = []

        def make() -> ImportStack:
            urls = {"control": make_database(control_template), REGION: make_region_database(REGION, 1)}
            databases = {name: Database.open(url, clock=clock) for name, url in urls.items()}
            ids = {
                name: SnowflakeAllocator.open(url, clock=clock, number=number)
                for (name, url), number in zip(urls.items(), (0, 1), strict=True)
            }
            for close in [each.close for each in databases.values()] + [each.close for each in ids.values()]:
                cleanup.callback(close)
            silos = Silos(databases["control"], {REGION: databases[REGION]}, clock)
            silos.register()
            made.append(ImportStack(silos, clock, tmp_path / f"spool-{len(made)}", ids))
            return made[-1]

        yield make


@pytest.fixture
def stack(make_stack: Callable[[], ImportStack]) -> ImportStack:
    return make_stack()


@pytest.fixture
def doors(stack: ImportStack, tmp_path: Path) -> Iterator[Doors]:
    with ExitStack() as cleanup:
        yield Doors(stack, tmp_path, cleanup)
