"""Control with the regions `us` and `de`, registered and drained."""

from collections.abc import Callable, Iterator

import pytest

from shared.database import Database
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos


@pytest.fixture
def silos(
    control_database_url: str, make_region_database: Callable[[str, int], str], clock: FakeClock
) -> Iterator[Silos]:
    control = Database.open(control_database_url, clock=clock)
    regions = {
        name: Database.open(make_region_database(name, number), clock=clock) for name, number in (("us", 1), ("de", 2))
    }
    try:
        silos = Silos(control, regions, clock, control_database_url)
        silos.register()
        silos.drain()
        silos.transport.seen.clear()
        yield silos
    finally:
        for database in (control, *regions.values()):
            database.close()
