from collections.abc import Callable, Iterator

import pytest

from tests.cached_things import Thing, Things

OpenThings = Callable[[], Things]


@pytest.fixture
def open_things(empty_database: str, redis_url: str) -> Iterator[OpenThings]:
    """Open the model as one more process would; the first makes the tables and one row."""
    opened: list[Things] = []

    def open_one() -> Things:
        opened.append(Things(empty_database, redis_url))
        if len(opened) == 1:
            opened[0].create_tables()
            opened[0].insert(Thing(1, "first", "one"))
        return opened[-1]

    yield open_one
    for things in opened:
        things.close()


@pytest.fixture
def things(open_things: OpenThings) -> Things:
    return open_things()
