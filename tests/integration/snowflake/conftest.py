from collections.abc import Callable, Iterator

import pytest

from shared.snowflake.allocator import SnowflakeAllocator
from shared.snowflake.domain import LAYOUT_2, Layout
from tests.clock import FakeClock
from tests.shared_tables import create_shared_tables

OpenAllocator = Callable[..., SnowflakeAllocator]


@pytest.fixture
def open_allocator(empty_database: str, clock: FakeClock) -> Iterator[OpenAllocator]:
    """Open allocators on one database, each as another process would."""
    create_shared_tables(empty_database)
    opened: list[SnowflakeAllocator] = []

    def open_one(*, number: int = 1, layout: Layout = LAYOUT_2) -> SnowflakeAllocator:
        opened.append(SnowflakeAllocator.open(empty_database, clock=clock, number=number, layout=layout))
        return opened[-1]

    yield open_one
    for allocator in opened:
        allocator.close()
