"""Control with the regions `us` and `de`, registered and drained."""

from collections.abc import Callable, Iterator

import pytest

from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, opened_silos


@pytest.fixture
def silos(
    control_database_url: str, make_region_database: Callable[[str, int], str], clock: FakeClock
) -> Iterator[Silos]:
    with opened_silos(control_database_url, make_region_database, clock) as silos:
        silos.drain()
        silos.transport.seen.clear()
        yield silos
