"""An importer on fresh databases of both silos."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.snowflake.allocator import SnowflakeAllocator
from tests.clock import FakeClock
from tests.integration.callbacks.conftest import silos
from tests.integration.callbacks.silos import Silos
from tests.integration.imports.stack import REGION, ImportStack

__all__ = ["silos", "stack"]


@pytest.fixture
def stack(silos: Silos, control_database_url: str, clock: FakeClock, tmp_path: Path) -> Iterator[ImportStack]:
    region_url = silos.regions[REGION].engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    ids = {
        "control": SnowflakeAllocator.open(control_database_url, clock=clock, number=0),
        REGION: SnowflakeAllocator.open(region_url, clock=clock, number=1),
    }
    yield ImportStack(silos, clock, tmp_path / "spool", ids)
    for each in ids.values():
        each.close()
