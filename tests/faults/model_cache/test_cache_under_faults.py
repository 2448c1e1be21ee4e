import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from shared.embedded.redis import RedisServer
from tests.cached_things import KNOWLEDGE_S, Thing, Things
from tests.faults.model_cache.conftest import OpenThings, end_closure
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[3]
FIRST, SECOND, THIRD = (Thing(1, "first", name) for name in ("one", "two", "three"))


def warm(things: Things, thing: Thing = FIRST) -> None:
    for _ in range(3):
        assert things.cache.get_from_cache(slug=thing.slug) == things.cache.get_from_cache(id=thing.id) == thing


def is_cached(things: Things) -> bool:
    loads = things.loads
    things.cache.get_from_cache(id=1)
    return things.loads == loads


def wait_until(holds: Callable[[], bool], timeout_s: float = 10) -> None:
    ends_at = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_with_redis_down_reads_and_changes_are_right(open_things: OpenThings, redis_server: RedisServer) -> None:
    writer, reader = open_things(), open_things()
    warm(reader)
    redis_server.kill()
    warm(reader)
    for thing in (SECOND, THIRD):
        writer.change(thing)
        assert reader.cache.get_from_cache(id=1) == reader.cache.get_from_cache(slug="first") == thing
    redis_server.start()
    assert reader.cache.get_from_cache(id=1) == THIRD


def test_a_writer_alone_without_redis_makes_no_reader_stale(
    open_things: OpenThings, line: TcpProxy, empty_database: str
) -> None:
    writer, reader = open_things(line), open_things()
    warm(reader)
    line.cut()
    writer.change(SECOND)
    assert reader.cache.get_from_cache(id=1) == SECOND
    writer.change(THIRD)
    assert reader.cache.get_from_cache(slug="first") == THIRD
    line.mend()
    end_closure(empty_database, writer)
    warm(reader, THIRD)
    wait_until(lambda: is_cached(reader))
    assert reader.cache.get_from_cache(id=1) == THIRD


def test_an_outage_delays_only_its_first_change(open_things: OpenThings, line: TcpProxy) -> None:
    writer = open_things(line)
    pauses: list[float] = []
    writer.gate._pause = pauses.append
    line.cut()
    for _ in range(20):
        writer.change(SECOND)
    assert pauses == [KNOWLEDGE_S]


def test_redis_lost_between_announcing_and_finishing_makes_no_reader_stale(
    open_things: OpenThings, line: TcpProxy
) -> None:
    writer, reader = open_things(line), open_things()
    warm(reader)
    with writer.cache.changing(1):
        line.cut()
        assert reader.cache.get_from_cache(id=1) == FIRST
        writer.update(SECOND)
    assert reader.cache.get_from_cache(id=1) == SECOND


def test_a_lost_announcement_and_a_lost_finish_make_no_reader_stale(
    open_things: OpenThings, line: TcpProxy, redis_server: RedisServer
) -> None:
    writer, reader = open_things(line), open_things()
    with writer.cache.changing(1):
        line.cut()
        redis_server.kill()
        redis_server.start()
        wait_until(lambda: is_cached(reader))  # the announcement is gone: the reader fills what is about to be old
        writer.update(SECOND)
    assert reader.cache.get_from_cache(id=1) == SECOND


def test_a_redis_that_comes_back_with_its_past_makes_no_reader_stale(
    open_things: OpenThings, redis_server: RedisServer
) -> None:
    things = open_things()
    warm(things)
    with redis.Redis.from_url(redis_server.url) as client:
        client.save()
    things.change(SECOND)
    redis_server.kill()
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        assert b'"one"' in (client.get(things.cache._name("id", 1)) or b"")
    reader = open_things()
    warm(reader, SECOND)
    assert is_cached(reader)


def test_a_writer_killed_between_commit_and_finishing_makes_no_reader_stale(
    open_things: OpenThings, empty_database: str, redis_server: RedisServer
) -> None:
    reader = open_things()
    warm(reader)
    command = [sys.executable, "-m", "tests.faults.model_cache.dying", empty_database, redis_server.url, "2"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dying:
        assert dying.stdout
        assert dying.stdout.readline() == b"committed\n"
        assert reader.cache.get_from_cache(id=1) == SECOND
        dying.kill()
    assert reader.cache.get_from_cache(id=1) == reader.cache.get_from_cache(slug="first") == SECOND
    wait_until(lambda: is_cached(reader))  # the announcement has run out
    assert reader.cache.get_from_cache(id=1) == reader.cache.get_from_cache(slug="first") == SECOND


def test_a_slow_reader_that_outlasts_a_dead_writers_announcement_leaves_nothing_stale(
    open_things: OpenThings, redis_server: RedisServer
) -> None:
    slow, writer = open_things(), open_things()
    writer.cache._change_ms = 200
    loaded, go_on = threading.Event(), threading.Event()

    def stop_in_the_middle() -> None:
        loaded.set()
        assert go_on.wait(10)

    slow.after_load = stop_in_the_middle
    change = writer.cache.begin_change(1)
    reader = threading.Thread(target=lambda: slow.cache.get_from_cache(id=1))
    reader.start()
    assert loaded.wait(10)
    writer.update(SECOND)
    del change  # it is never finished
    with redis.Redis.from_url(redis_server.url) as client:
        wait_until(lambda: client.exists(writer.cache._object_keys(1)[1]) == 0)
    go_on.set()
    reader.join(10)
    assert writer.cache.get_from_cache(id=1) == SECOND


def test_redis_lost_while_loading_costs_only_the_fill(open_things: OpenThings, line: TcpProxy) -> None:
    things = open_things(line)
    things.after_load = line.cut
    assert things.cache.get_from_cache(id=1) == FIRST
    assert things.cache.get_from_cache(slug="first") == FIRST


def test_a_deaf_redis_costs_one_time_out_and_not_one_a_read(open_things: OpenThings, line: TcpProxy) -> None:
    things = open_things(line, timeout_s=0.2)
    warm(things)
    line.deafen()
    begun_at = time.monotonic()
    for _ in range(50):
        assert things.cache.get_from_cache(id=1) == FIRST
    assert time.monotonic() - begun_at < 5.0, "one time-out a read would take ten seconds"
