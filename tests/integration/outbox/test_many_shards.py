"""What a claim and a delivery cost does not grow with all shards there are; many shards get their places at once."""

import random
from collections import defaultdict

import pytest
from sqlalchemy import text

from shared.database import Transaction
from shared.outbox import inbox_store, store
from shared.outbox.domain import Delivery, ShardDelivery
from shared.outbox.enqueue import enqueue
from tests.integration.outbox.silos import WORD, Silo, Wires

_READ = text("SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname = :table")
_SHARDS = 3000
_A_TIME = 100


def _rows_read(transaction: Transaction, table: str) -> int:
    return int(transaction.execute(_READ, {"table": table}).scalar_one())


def _shard(number: int) -> str:
    return f"users/{number:05}"


def test_a_delivery_to_a_table_that_nobody_has_analyzed_reads_its_own_shards_and_no_others(us: Silo) -> None:
    def delivery(first: int, count: int) -> Delivery:
        shards = (ShardDelivery(_shard(number), 0, 1, ()) for number in range(first, first + count))
        return Delivery("control", us.epoch, tuple(shards))

    def work(transaction: Transaction, given: Delivery) -> int:
        before = _rows_read(transaction, "inbox_shard")
        known = inbox_store.lock_shards(transaction, given, given.shards, resumed=False)
        assert set(known) == {shard.aggregate for shard in given.shards}
        return _rows_read(transaction, "inbox_shard") - before

    everything, some = delivery(0, _SHARDS), delivery(_SHARDS // 2, _A_TIME)
    us.database.transact(lambda transaction: work(transaction, everything))
    for _ in range(12):  # more often than a connection plans it anew
        assert us.database.transact(lambda transaction: work(transaction, some)) <= 2 * _A_TIME


def test_a_claim_walks_no_further_than_to_the_shards_that_it_takes(control: Silo) -> None:
    def say(transaction: Transaction) -> None:
        for number in range(_SHARDS):
            enqueue(transaction, target="us", aggregate=_shard(number), category=WORD, subject="s", payload={})

    control.database.transact(say)

    def claim(transaction: Transaction, after: str, token: str) -> tuple[store.Claim, int]:
        before = _rows_read(transaction, "outbox_message")
        claimed = store.claim(
            transaction,
            target="us",
            after=after,
            token=token,
            lease_s=30,
            shards_max=_A_TIME,
            messages_max=10,
        )
        return claimed, _rows_read(transaction, "outbox_message") - before

    after = ""
    for place in range(3):
        token = f"00000000-0000-4000-8000-00000000000{place}"
        claimed, rows_read = control.database.transact(lambda t, a=after, k=token: claim(t, a, k))  # type: ignore[misc]
        first = place * _A_TIME
        assert [shard.aggregate for shard in claimed.shards] == list(map(_shard, range(first, first + _A_TIME)))
        assert rows_read <= 3 * _A_TIME, "walking, and reading what was claimed"
        after = claimed.next_after
    # What others hold is passed by: as many are taken as there were before.
    claimed, _ = control.database.transact(lambda t: claim(t, "", "00000000-0000-4000-8000-000000000009"))
    assert [shard.aggregate for shard in claimed.shards] == list(map(_shard, range(3 * _A_TIME, 4 * _A_TIME)))


@pytest.mark.parametrize("shards", [1, 40, 300])
@pytest.mark.parametrize("messages", [400, 700])
def test_messages_of_many_shards_in_any_order_get_their_places_in_it(
    control: Silo, us: Silo, wires: Wires, shards: int, messages: int
) -> None:
    """By one statement when they are few, by COPY when they are many; twice, so that shards are new and known."""
    rng = random.Random(messages + shards)
    names = [f"{rng.choice('aZ_ß中é-/')}{number}" for number in range(shards)]
    said: dict[str, list[str]] = defaultdict(list)

    def say(transaction: Transaction, words: list[tuple[str, str]]) -> None:
        for name, word in words:
            enqueue(transaction, target="us", aggregate=name, category=WORD, subject="s", payload={"body": word})

    for turn in range(2):
        words = [(rng.choice(names), f"{turn}.{number}") for number in range(messages)]
        for name, word in words:
            said[name].append(word)
        control.database.transact(lambda transaction, words=words: say(transaction, words))  # type: ignore[misc]

    written = control.query("SELECT aggregate, sequence, payload ->> 'body' FROM outbox_message ORDER BY 1, 2")
    found: dict[str, list[str]] = defaultdict(list)
    for aggregate, sequence, body in written:
        found[str(aggregate)].append(str(body))
        assert sequence == len(found[str(aggregate)])
    assert found == said
