from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from shared.embedded.redis import RedisServer
from tests.cached_things import Thing, Things
from tests.tcp_proxy import TcpProxy

OpenThings = Callable[..., Things]


def through(proxy: TcpProxy, url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[0] + "@" + proxy.address))


def end_closure(database_url: str, *closers: Things) -> None:
    """As if the time had passed for which they closed the gate; no change may be open."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE model_cache_gate SET closed_until = %s", [past])
    for closer in closers:
        closer.gate._closed_until = past


@pytest.fixture
def open_things(empty_database: str, redis_server: RedisServer) -> Iterator[OpenThings]:
    """Open the model as one more process would, with its line to Redis through a proxy when one is given."""
    opened: list[Things] = []

    def open_one(proxy: TcpProxy | None = None, *, timeout_s: float = 0.5) -> Things:
        url = through(proxy, redis_server.url) if proxy else redis_server.url
        opened.append(Things(empty_database, url, timeout_s=timeout_s))
        if len(opened) == 1:
            opened[0].create_tables()
            opened[0].insert(Thing(1, "first", "one"))
        return opened[-1]

    yield open_one
    for things in opened:
        things.close()


@pytest.fixture
def line(redis_server: RedisServer) -> Iterator[TcpProxy]:
    """One process's line to Redis."""
    with TcpProxy(redis_server.port) as proxy:
        yield proxy
