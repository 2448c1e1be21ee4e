"""A control silo that sends and the regions that it sends to."""

from collections.abc import Callable, Iterator

import pytest

from tests.clock import FakeClock
from tests.integration.outbox.silos import Silo, Wires


@pytest.fixture
def control(control_database_url: str, clock: FakeClock) -> Iterator[Silo]:
    silo = Silo("control", control_database_url, clock)
    yield silo
    silo.close()


@pytest.fixture
def make_peer(
    make_database: Callable[[str | None], str], control_template: str, clock: FakeClock
) -> Iterator[Callable[[str], Silo]]:
    """Make a silo by name; the shared tables are all that it needs."""
    made: list[Silo] = []

    def make(name: str) -> Silo:
        made.append(Silo(name, make_database(control_template), clock))
        return made[-1]

    yield make
    for silo in made:
        silo.close()


@pytest.fixture
def us(make_peer: Callable[[str], Silo]) -> Silo:
    return make_peer("us")


@pytest.fixture
def wires(us: Silo) -> Wires:
    return Wires(us)
