"""A world whose databases can be restored."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.clock import FakeClock
from tests.integration.doctor.world import NUMBERS, World


@pytest.fixture
def world(
    control_database_url: str,
    make_region_database: Callable[[str, int], str],
    make_database: Callable[[str | None], str],
    clock: FakeClock,
) -> Iterator[World]:
    urls = {name: make_region_database(name, number) for name, number in NUMBERS.items()}
    with ExitStack() as stack:

        def copy(url: str) -> str:
            return make_database(url.rpartition("/")[2].partition("?")[0])

        yield World({"control": control_database_url, **urls}, clock, copy, stack)
