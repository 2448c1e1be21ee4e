import threading
from typing import Any

import pytest
import redis

from shared import errors
from shared.database import Transaction
from tests.cached_things import Thing, Things
from tests.integration.model_cache.conftest import OpenThings

pytestmark = pytest.mark.integration
FIRST = Thing(1, "first", "one")


def warm(things: Things) -> None:
    for _ in range(3):
        assert things.cache.get_from_cache(slug="first") == things.cache.get_from_cache(id=1) == FIRST


def test_a_second_read_by_either_field_asks_no_database(things: Things) -> None:
    warm(things)
    loads = things.loads
    warm(things)
    assert things.loads == loads == 2


def test_another_process_reads_what_the_first_has_filled(open_things: OpenThings) -> None:
    first, second = open_things(), open_things()
    warm(first)
    warm(second)
    assert second.loads == 0


@pytest.mark.parametrize("lookup", [{}, {"name": "one"}, {"id": 1, "slug": "first"}, {"id": None}, {"id": True}])
def test_release_row_34_a_lookup_that_is_not_one_declared_field_is_a_programming_error(
    things: Things, lookup: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"by|must be"):
        things.cache.get_from_cache(**lookup)


def test_a_changed_slug_and_row_are_seen_at_once_by_every_process(open_things: OpenThings) -> None:
    first, second = open_things(), open_things()
    warm(first)
    warm(second)
    changed = Thing(1, "renamed", "two")
    first.change(changed)
    for things in (second, first):
        assert things.cache.get_from_cache(slug="first") is None
        assert things.cache.get_from_cache(id=1) == changed
        assert things.cache.get_from_cache(slug="renamed") == changed


def test_swapped_slugs_lead_to_their_new_rows(open_things: OpenThings) -> None:
    first, second = open_things(), open_things()
    first.insert(Thing(2, "other", "two"))
    for _ in range(2):
        assert second.cache.get_from_cache(slug="other") == Thing(2, "other", "two")
        warm(second)
    with first.cache.changing(1, 2):
        first.update(Thing(1, "between", "one"))
        first.update(Thing(2, "first", "two"))
        first.update(Thing(1, "other", "one"))
    assert second.cache.get_from_cache(slug="first") == Thing(2, "first", "two")
    assert second.cache.get_from_cache(slug="other") == Thing(1, "other", "one")


def test_a_deleted_row_is_gone_at_once(things: Things) -> None:
    warm(things)
    things.delete(1)
    assert things.cache.get_from_cache(id=1) is None
    assert things.cache.get_from_cache(slug="first") is None


def test_a_miss_is_not_cached(things: Things) -> None:
    assert things.cache.get_from_cache(slug="second") is None
    assert things.cache.get_from_cache(id=2) is None
    things.insert(Thing(2, "second", "two"))
    assert things.cache.get_from_cache(id=2) == things.cache.get_from_cache(slug="second") == Thing(2, "second", "two")


def test_case_47_a_slow_reader_that_races_a_change_leaves_no_older_value(open_things: OpenThings) -> None:
    slow, writer = open_things(), open_things()
    loaded, go_on = threading.Event(), threading.Event()

    def stop_in_the_middle() -> None:
        loaded.set()
        assert go_on.wait(10)

    slow.after_load = stop_in_the_middle
    answers: list[Thing | None] = []
    reader = threading.Thread(target=lambda: answers.append(slow.cache.get_from_cache(id=1)))
    reader.start()
    assert loaded.wait(10)
    changed = Thing(1, "first", "two")
    writer.change(changed)
    assert not answers
    go_on.set()
    reader.join(10)
    assert answers == [FIRST]  # it began before the change returned
    assert writer.cache.get_from_cache(id=1) == changed
    slow.after_load = lambda: None
    assert slow.cache.get_from_cache(id=1) == changed


def test_readers_pass_the_cache_by_while_a_change_is_open(open_things: OpenThings) -> None:
    writer, reader = open_things(), open_things()
    warm(reader)
    with writer.cache.changing(1):
        assert reader.cache.get_from_cache(id=1) == FIRST
        writer.update(Thing(1, "first", "two"))
        assert reader.cache.get_from_cache(id=1) == Thing(1, "first", "two")
        assert reader.loads == 4
    for _ in range(2):
        assert reader.cache.get_from_cache(id=1) == Thing(1, "first", "two")
    assert reader.loads == 5


def test_one_finished_change_does_not_hide_another_that_is_open(open_things: OpenThings) -> None:
    first, second, reader = open_things(), open_things(), open_things()
    one = first.cache.begin_change(1)
    two = second.cache.begin_change(1)
    one.finish()
    reader.cache.get_from_cache(id=1)
    second.update(Thing(1, "first", "two"))
    assert reader.cache.get_from_cache(id=1) == Thing(1, "first", "two")
    two.finish()
    assert reader.cache.get_from_cache(id=1) == Thing(1, "first", "two")


def test_a_change_may_be_finished_after_commit(open_things: OpenThings) -> None:
    things, reader = open_things(), open_things()
    warm(reader)
    change = things.cache.begin_change(1)

    def work(transaction: Transaction) -> None:
        transaction.connection.exec_driver_sql("UPDATE thing SET name = 'two' WHERE id = 1")
        transaction.after_commit(change.finish)

    things.database.transact(work)
    for _ in range(2):
        assert reader.cache.get_from_cache(id=1) == Thing(1, "first", "two")
    assert reader.loads == 3


def test_a_rolled_back_change_leaves_the_cache_in_use(things: Things) -> None:
    with pytest.raises(errors.EtagMismatch), things.cache.changing(1):
        raise errors.EtagMismatch
    warm(things)
    loads = things.loads
    warm(things)
    assert things.loads == loads


def test_a_commit_of_unknown_outcome_keeps_readers_off_the_cache(open_things: OpenThings) -> None:
    writer, reader = open_things(), open_things()
    with pytest.raises(errors.OutcomeUnknown), writer.cache.changing(1):
        raise errors.OutcomeUnknown
    assert reader.cache.get_from_cache(id=1) == FIRST
    writer.update(Thing(1, "first", "two"))  # the COMMIT comes through late
    assert reader.cache.get_from_cache(id=1) == Thing(1, "first", "two")


def test_forgetting_after_a_commit_is_seen_by_every_process(open_things: OpenThings) -> None:
    writer, reader = open_things(), open_things()
    warm(reader)
    writer.update(Thing(1, "first", "two"))
    writer.cache.invalidate(1)
    assert reader.cache.get_from_cache(id=1) == Thing(1, "first", "two")


@pytest.mark.parametrize("spoil", ["garbage", "wrong type", "another row", "wrong shape"])
def test_a_spoiled_value_is_read_again_from_the_database(things: Things, redis_url: str, spoil: str) -> None:
    things.insert(Thing(2, "second", "two"))
    warm(things)
    things.cache.get_from_cache(id=2)
    with redis.Redis.from_url(redis_url) as client:
        other = client.get(things.cache._name("id", 2))
        assert isinstance(other, bytes)
        stamp = other.partition(b"\n")[0]
        for name in (things.cache._name("id", 1), things.cache._name("slug", "first")):
            assert client.delete(name) == 1
            if spoil == "wrong type":
                client.lpush(name, "x")
            else:
                client.set(name, {"garbage": b"\xff{", "another row": other}.get(spoil, stamp + b'\n{"id": "x"}'))
    for _ in range(4):
        warm(things)
    loads = things.loads
    warm(things)
    assert things.loads == loads


def test_keys_begin_with_the_silo_and_the_model_and_expire(things: Things, redis_url: str) -> None:
    warm(things)
    with redis.Redis.from_url(redis_url) as client:
        names = list(client.scan_iter())
        assert len(names) == 2
        for name in names:
            assert name.startswith(b"us:modelcache:Thing:")
            remaining_ms = client.pttl(name)
            assert isinstance(remaining_ms, int)
            assert 290_000 < remaining_ms <= 300_000


def test_without_redis_every_read_is_the_databases(empty_database: str) -> None:
    things = Things(empty_database, None)
    things.create_tables()
    things.insert(FIRST)
    things.change(Thing(1, "first", "two"))
    assert things.cache.get_from_cache(slug="first") == Thing(1, "first", "two")
    assert things.loads == 1
    things.close()
