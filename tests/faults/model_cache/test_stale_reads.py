import random
import threading

import pytest

from shared.embedded.redis import RedisServer
from tests.cached_things import Thing, Things
from tests.faults.model_cache.conftest import OpenThings, end_closure
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.faults
CHANGES = 60


class Turmoil:
    """Writers that count a row's name up, and readers that note every answer older than a change that had returned."""

    def __init__(self, database_url: str, writers: dict[TcpProxy, Things]) -> None:
        self.database_url = database_url
        self.writers = writers
        self.returned = 0
        self.reads = 0
        self.too_old: list[tuple[int, Thing | None]] = []
        self.over = threading.Event()
        self._writing = threading.Lock()

    def read(self, things: Things, lookup: dict[str, int | str]) -> None:
        while not self.over.is_set():
            at_least = self.returned
            thing = things.cache.get_from_cache(**lookup)
            self.reads += 1
            if thing is None or int(thing.name) < at_least:
                self.too_old.append((at_least, thing))

    def write(self, line: TcpProxy, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(CHANGES):
            with self._writing:
                self._mishap(chance.random(), line)
                self.writers[line].change(Thing(1, "first", str(self.returned + 1)))
                self.returned += 1

    def _mishap(self, chance: float, line: TcpProxy) -> None:
        if chance < 0.1:
            line.drop_connections()
        elif chance < 0.15:
            line.cut()
        elif chance < 0.35:
            line.mend()
        elif chance < 0.45:
            end_closure(self.database_url, *self.writers.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_read_is_older_than_a_change_that_returned_before_it_began(
    open_things: OpenThings, redis_server: RedisServer, empty_database: str, seed: int
) -> None:
    with TcpProxy(redis_server.port) as first_line, TcpProxy(redis_server.port) as second_line:
        writers = {line: open_things(line) for line in (first_line, second_line)}
        readers = [open_things(second_line), open_things(), open_things()]
        writers[first_line].update(Thing(1, "first", "0"))
        turmoil = Turmoil(empty_database, writers)
        lookups: list[dict[str, int | str]] = [{"id": 1}, {"slug": "first"}, {"id": 1}]
        reading = [threading.Thread(target=turmoil.read, args=pair) for pair in zip(readers, lookups, strict=True)]
        changing = [
            threading.Thread(target=turmoil.write, args=(line, seed * 10 + number))
            for number, line in enumerate(writers)
        ]
        for thread in (*reading, *changing):
            thread.start()
        for thread in changing:
            thread.join()
        turmoil.over.set()
        for thread in reading:
            thread.join()
    assert turmoil.returned == 2 * CHANGES
    assert turmoil.too_old == []
    assert sum(reader.loads for reader in readers) < turmoil.reads, "the cache was never in use"
