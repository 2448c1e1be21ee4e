"""The outbox's rules that need no database."""

import pytest

from shared import barrier
from shared.outbox import Category, Mode
from shared.outbox.breaker import Breaker
from shared.outbox.composing import compose, pack
from shared.outbox.domain import SKIP, OutboxNote, back_off_s
from shared.outbox.enqueue import enqueue
from shared.outbox.payloads import shown
from shared.outbox.registry import Registry
from shared.outbox.settings import DrainerSettings
from shared.outbox.store import ClaimedShard, StoredMessage
from tests.clock import FakeClock

LATEST = Category("latest", Mode.LATEST)
EVERY = Category("every", Mode.EVERY)


class Source:
    def read(self, transaction: object, subjects: object) -> dict[str, tuple[int, bool, dict[str, object]]]:
        return {}


REGISTRY = Registry(sends={LATEST: Source(), EVERY: None})


class Notes:
    def __init__(self) -> None:
        self.noted: list[OutboxNote] = []

    def note(self, message: OutboxNote) -> None:
        self.noted.append(message)


def test_refusals_back_off_from_2_seconds_to_an_hour() -> None:
    waits = [back_off_s(refusals) for refusals in range(1, 15)]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]


def test_a_breaker_waits_up_to_5_seconds_and_closes_at_the_first_answer() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    waits = []
    for _ in range(8):
        breaker.failed()
        waits.append(breaker.wait_s())
        clock.advance(breaker.wait_s())
        assert breaker.wait_s() == 0
    assert waits == [1, 2, 4, 5, 5, 5, 5, 5]
    assert breaker.is_open
    breaker.succeeded()
    assert not breaker.is_open


def test_a_category_cannot_be_sent_and_received_by_one_silo() -> None:
    with pytest.raises(AssertionError, match="latest"):
        Registry(sends={LATEST: Source()}, receives={LATEST: lambda transaction, messages: None})


def test_a_source_belongs_to_latest_only() -> None:
    with pytest.raises(AssertionError, match="every"):
        Registry(sends={EVERY: Source()})
    with pytest.raises(AssertionError, match="latest"):
        Registry(sends={LATEST: None})


def test_latest_takes_no_payload_and_every_always_has_one() -> None:
    notes = Notes()
    with pytest.raises(AssertionError):
        enqueue(notes, target="us", aggregate="a", category=LATEST, subject="s", payload={"x": 1})
    enqueue(notes, target="us", aggregate="a", category=EVERY, subject="s")
    assert notes.noted == [OutboxNote("us", "a", "every", "s", {})]


def a_shard(*messages: tuple[str, str]) -> ClaimedShard:
    rows = tuple(
        StoredMessage(100 + place, 5 + place, category, subject, {"n": place} if category == "every" else None)
        for place, (category, subject) in enumerate(messages)
    )
    return ClaimedShard("a", 0, rows)


def test_latest_messages_of_a_subject_become_one_with_the_highest_sequence() -> None:
    shard = a_shard(("latest", "x"), ("every", "e"), ("latest", "x"), ("every", "e"), ("latest", "gone"))
    part = compose(shard, REGISTRY, {("latest", "x"): (7, False, {"v": 1})}, DrainerSettings())
    assert (part.shard.previous_sequence, part.shard.last_sequence, part.ids) == (4, 9, (100, 101, 102, 103, 104))
    assert [(m.sequence, m.subject, m.version) for m in part.shard.messages] == [(6, "e", 0), (7, "x", 7), (8, "e", 0)]


def test_a_shard_is_cut_before_it_outgrows_a_delivery_but_not_below_one_message() -> None:
    shard = a_shard(("every", "x" * 10), ("every", "y"), ("every", "z"))
    assert compose(shard, REGISTRY, {}, DrainerSettings(messages_per_delivery=2)).ids == (100, 101)
    large = ClaimedShard("a", 0, (StoredMessage(1, 1, "every", "s", {"x": "y" * 5000}), *shard.messages))
    assert compose(large, REGISTRY, {}, DrainerSettings(bytes_per_delivery=1024)).ids == (1,)


def test_parts_are_packed_into_deliveries_within_the_limits() -> None:
    settings = DrainerSettings(messages_per_delivery=4)
    parts = [compose(a_shard(("every", "x"), ("every", "y")), REGISTRY, {}, settings) for _ in range(5)]
    assert [len(batch) for batch in pack(parts, settings)] == [2, 2, 1]


@pytest.mark.parametrize(
    "wrong", [{"lease_s": 1}, {"deliver_timeout_s": 26}, {"shards_per_claim": 0}, {"messages_per_shard": 1001}]
)
def test_a_setting_out_of_bounds_is_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DrainerSettings(**wrong)


def test_a_barrier_that_cannot_be_read_is_refused() -> None:
    for wrong in ("name", "name=sleep", "=kill", "name:x=kill"):
        with pytest.raises(ValueError, match=r"barrier|int"):
            barrier.arm(wrong)


def test_a_shown_payload_keeps_what_is_no_secret() -> None:
    payload: dict[str, object] = {
        "slug": "acme",
        "count": 3,
        "has_password": True,
        "token": None,
        "api_key": "k",
        "nested": [{"Private-Key": "p", "text": "see siloway_" + "x" * 43}],
    }
    assert shown(payload) == (
        '{"slug":"acme","count":3,"has_password":true,"token":null,"api_key":"***",'
        '"nested":[{"Private-Key":"***","text":"see ***"}]}'
    )
    assert shown(None) == ""


def test_a_row_to_skip_is_delivered_as_a_skip_and_does_not_coalesce() -> None:
    rows = (
        StoredMessage(1, 5, "latest", "x", None, skip_reason="parked"),
        StoredMessage(2, 6, "latest", "x", None),
        StoredMessage(3, 7, "unheard-of", "x", None, skip_reason="of an operator"),
    )
    part = compose(ClaimedShard("a", 0, rows), REGISTRY, {("latest", "x"): (7, False, {})}, DrainerSettings())
    assert [(m.sequence, m.category) for m in part.shard.messages] == [(5, SKIP), (6, "latest"), (7, SKIP)]
