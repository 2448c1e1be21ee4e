"""What is refused again and again is given up: a LATEST subject alone, an EVERY message with its shard behind it."""

import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from shared import errors, requests
from shared.database import Transaction
from shared.outbox import Category, Mode, enqueue
from shared.outbox.domain import SKIP, Delivery, Direction, Parked
from shared.outbox.parking import fails_request
from shared.outbox.registry import Registry
from shared.requests import Mutation, RequestKey, RequestState
from tests.clock import FakeClock
from tests.integration.outbox.silos import NOTE, WORD, Notes, Silo, Wires, drain_all
from tests.integration.outbox.test_random_schedules import Schedule

pytestmark = pytest.mark.integration


def drain_until_parked(control: Silo, wires: Wires, refusals_max: int = 3) -> None:
    drainer = control.drainer(wires, refusals_max=refusals_max)
    for _ in range(refusals_max + 1):
        drain_all(drainer)
        control.clock.advance(3601)


def replay(control: Silo, aggregate: str) -> None:
    """What an operator does, without the door."""
    from shared.outbox.operating import replay_shard

    control.database.transact(lambda t: replay_shard(t, control.sends, target="us", aggregate=aggregate))


def parked(control: Silo) -> list[tuple[object, ...]]:
    return control.query("SELECT aggregate, category, subject, sequence FROM outbox_parked ORDER BY aggregate, subject")


def test_fault_O5_a_poisoned_latest_subject_is_parked_alone_and_the_others_of_its_shard_go_on(
    control: Silo, us: Silo, wires: Wires
) -> None:
    us.refuses_subjects = {"bad"}
    control.write("a", "1", aggregate="shared")
    control.write("bad", "1", aggregate="shared")
    control.write("c", "1", aggregate="shared")
    drainer = control.drainer(wires, refusals_max=3)
    assert drainer.drain_once().delivered == 1, "what stands before the poison has arrived"
    for _ in range(2):
        assert us.told_notes() == {"a": "1"}, "order keeps what stands behind it"
        control.clock.advance(3601)
        drain_all(drainer)
    assert us.told_notes() == {"a": "1", "c": "1"}
    assert parked(control) == [("shared", "note", "bad", 2)]
    assert control.waiting() == 0
    skips = [m for _, d in wires.deliveries for s in d.shards for m in s.messages if m.category == SKIP]
    assert [(skip.sequence, skip.payload) for skip in skips] == [(2, {"reason": "parked"})]
    control.write("a", "2", aggregate="shared")
    drain_all(drainer)
    assert us.told_notes() == {"a": "2", "c": "1"}, "the shard has no hole"


def test_replay_of_a_parked_subject_sends_its_newest_state_exactly_once(control: Silo, us: Silo, wires: Wires) -> None:
    us.refuses_subjects = {"bad"}
    control.write("bad", "1", aggregate="shared")
    drain_until_parked(control, wires)
    us.refuses_subjects = set()
    drain_all(control.drainer(wires))
    assert us.told_notes() == {}, "nothing is sent again by itself"
    us.calls.clear()
    for _ in range(2):
        replay(control, "shared")
    drain_all(control.drainer(wires))
    assert us.told_notes() == {"bad": "1"}
    assert us.calls == [["bad"]]
    assert (parked(control), control.waiting()) == ([], 0)


def test_a_fresh_message_ends_the_parking_of_its_subject(control: Silo, us: Silo, wires: Wires) -> None:
    us.refuses_subjects = {"bad", "worse"}
    for name in ("bad", "worse"):
        control.write(name, "1", aggregate="shared")
    drain_until_parked(control, wires)
    drain_until_parked(control, wires)
    assert [row[2] for row in parked(control)] == ["bad", "worse"]
    us.refuses_subjects = {"worse"}
    control.write("bad", "2", aggregate="shared")
    drain_all(control.drainer(wires))
    assert us.told_notes() == {"bad": "2"}
    assert [row[2] for row in parked(control)] == ["worse"]


def test_a_subject_that_is_written_while_its_skip_waits_is_not_skipped(control: Silo, us: Silo, wires: Wires) -> None:
    us.refuses_subjects = {"bad"}
    control.write("bad", "1", aggregate="shared")
    drainer = control.drainer(wires, refusals_max=1)
    assert drainer.drain_once().parked == 1
    us.refuses_subjects = set()
    control.write("bad", "2", aggregate="shared")
    drain_all(drainer)
    assert us.told_notes() == {"bad": "2"}
    assert parked(control) == []


def test_fault_O5_a_poisoned_word_parks_its_shard_and_no_other(control: Silo, us: Silo, wires: Wires) -> None:
    us.refuses_bodies = {"poison"}
    control.say("a", "1", "poison", "3")
    control.say("b", "1")
    drain_until_parked(control, wires)
    assert (us.told_words("a"), us.told_words("b")) == (["1"], ["1"])
    us.refuses_bodies = set()
    control.say("a", "4")
    control.say("b", "2")
    drainer = control.drainer(wires)
    drain_all(drainer)
    assert us.told_words("a") == ["1"], "the whole shard waits, also for a fresh message"
    assert us.told_words("b") == ["1", "2"]
    found = control.query("SELECT sequence FROM outbox_message WHERE parked_at IS NOT NULL")
    assert found == [(2,)]
    drainer.measure("us")
    assert REGISTRY.get_sample_value("siloway_outbox_parked_groups", {"target": "us"}) == 1
    replay(control, "a")
    drain_all(drainer)
    assert us.told_words("a") == ["1", "poison", "3", "4"]
    drainer.measure("us")
    assert REGISTRY.get_sample_value("siloway_outbox_parked_groups", {"target": "us"}) == 0


def test_an_outage_a_gap_and_an_unknown_epoch_never_park(control: Silo, us: Silo, wires: Wires) -> None:
    control.say("a", "1")
    wires.down = {"us"}
    drain_until_parked(control, wires, 1)
    wires.down = set()
    us.receive(replace(_empty(control), epoch=str(uuid.uuid4())))
    drain_until_parked(control, wires, 1)
    us.database.transact(lambda t: t.execute(text("TRUNCATE inbox_origin, inbox_shard")))
    for statement in ("UPDATE outbox_message SET sequence = 2", "UPDATE outbox_shard SET last_sequence = 2"):
        control.database.transact(lambda t, statement=statement: t.execute(text(statement)))  # type: ignore[misc]
    control.say("a", "2")
    drain_until_parked(control, wires, 1)
    assert control.query("SELECT attempts, parked_at, skip_reason FROM outbox_message") == [(0, None, None)] * 2
    assert control.query("SELECT 1 FROM outbox_lease WHERE parked_at IS NOT NULL") == []


def test_tries_that_fresh_messages_bring_about_do_not_count(control: Silo, us: Silo, wires: Wires) -> None:
    """A busy shard is given up after the same time as a quiet one."""
    us.refuses_bodies = {"poison"}
    drainer = control.drainer(wires, refusals_max=3)
    control.say("a", "poison")
    drain_all(drainer)
    for number in range(10):
        control.say("a", str(number))
        assert drainer.drain_once().refused == 1
    assert control.query("SELECT attempts FROM outbox_message ORDER BY sequence LIMIT 1") == [(1,)]
    control.clock.advance(2)
    assert drainer.drain_once().refused == 1
    assert control.query("SELECT attempts, available_at FROM outbox_lease") == [
        (2, control.clock.now() + timedelta(seconds=4))
    ]
    control.clock.advance(4)
    assert drainer.drain_once().parked == 1


def test_a_message_that_no_delivery_can_carry_is_found_and_parked(control: Silo, us: Silo, wires: Wires) -> None:
    def not_taken(target: str, delivery: Delivery) -> None:
        if any(m.payload.get("body") == "poison" for s in delivery.shards for m in s.messages):
            raise errors.Internal

    wires.before = not_taken
    control.say("a", "1", "2", "poison", "4")
    control.say("b", "1")
    drain_until_parked(control, wires, 2)
    drain_until_parked(control, wires, 2)
    assert (us.told_words("a"), us.told_words("b")) == (["1", "2"], ["1"])
    assert control.query("SELECT sequence FROM outbox_message WHERE parked_at IS NOT NULL") == [(3,)]


def test_a_request_that_waits_for_a_parked_message_is_failed_with_the_reason(
    control: Silo, us: Silo, wires: Wires
) -> None:
    def key_of(parked: Parked) -> RequestKey | None:
        payload = parked.payload or {}
        return RequestKey(str(payload["principal"]), str(payload["request_id"])) if "request_id" in payload else None

    control.sends = Registry(sends={NOTE: Notes(), WORD: None}, on_parked={WORD: fails_request(key_of)})
    us.refuses_bodies = {"poison"}
    mutation = Mutation("tokens/1", str(uuid.uuid4()), "/test/Create", b"x")

    def begin(transaction: Transaction) -> None:
        requests.start(transaction, mutation, "things/1")
        payload: dict[str, object] = {"body": "poison", "principal": "tokens/1", "request_id": mutation.request_id}
        enqueue(transaction, target="us", aggregate="a", category=WORD, subject="s", payload=payload)

    control.database.transact(begin)
    control.say("b", "poison")
    drain_until_parked(control, wires)
    record = control.database.read(lambda t: requests.find(t, "tokens/1", mutation.request_id))
    assert record is not None
    assert record.state is RequestState.FAILED
    assert record.error is not None
    assert (record.error.reason, record.error.metadata["peer_reason"]) == ("MESSAGE_PARKED", "FAILED_PRECONDITION")
    assert "s is not wanted" in record.error.message


def test_who_is_told_and_breaks_keeps_nobody_from_parking(control: Silo, us: Silo, wires: Wires) -> None:
    def told(transaction: Transaction, parked: Parked) -> None:
        transaction.execute(text("DELETE FROM outbox_message"))
        transaction.execute(text("SELECT 1 / 0"))

    control.sends = Registry(sends={NOTE: Notes(), WORD: None}, on_parked={WORD: told})
    us.refuses_bodies = {"poison"}
    control.say("a", "poison", "2")
    control.say("b", "1")
    drain_until_parked(control, wires)
    assert us.told_words("b") == ["1"]
    assert control.query("SELECT sequence FROM outbox_message WHERE parked_at IS NOT NULL") == [(1,)]
    assert control.waiting() == 2, "what the broken one wrote is undone"


def test_case_40_a_message_of_a_category_that_does_not_go_there_is_refused_when_it_is_noted(control: Silo) -> None:
    answers = Category("answers", Mode.EVERY, Direction.TO_CONTROL)
    orders = Category("orders", Mode.EVERY, Direction.TO_REGION)

    def note(category: Category, target: str) -> None:
        control.database.transact(lambda t: enqueue(t, target=target, aggregate="a", category=category, subject="s"))

    for category, target in ((answers, "us"), (orders, "control")):
        with pytest.raises(AssertionError, match=category.name):
            note(category, target)
    assert control.query("SELECT * FROM outbox_message") == []
    note(orders, "us")
    assert control.waiting() == 1


@pytest.mark.parametrize("seed", range(4))
def test_with_parking_and_replays_the_receiver_ends_with_exactly_the_state_of_the_sender(
    seed: int, control: Silo, us: Silo, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refusal parks: shards are parked and replayed again and again on the way."""
    chance = random.Random(seed)
    plain: Callable[..., object] = control.drainer
    monkeypatch.setattr(control, "drainer", lambda wires, **given: plain(wires, refusals_max=1, **given))
    schedule = Schedule(seed, control, us, clock)
    write = schedule.write
    ever_parked = []

    def write_and_replay(used: random.Random, body: str) -> None:
        write(used, body)
        if chance.random() < 0.2:
            ever_parked.append(_replay_all(control))

    monkeypatch.setattr(schedule, "write", write_and_replay)
    schedule.run(120)
    ever_parked.append(_replay_all(control))
    clock.advance(3700)
    us.refuses = set()
    drain_all(control.drainer(Wires(us)))
    assert us.told_notes() == control.notes()
    assert {shard: us.told_words(shard) for shard in schedule.said} == schedule.said
    assert (control.waiting(), parked(control)) == (0, [])
    assert sum(ever_parked) > 0


def _replay_all(control: Silo) -> int:
    found = control.query(
        "SELECT aggregate FROM outbox_parked UNION SELECT aggregate FROM outbox_lease WHERE parked_at IS NOT NULL"
    )
    for (aggregate,) in found:
        replay(control, str(aggregate))
    return len(found)


def _empty(control: Silo) -> Delivery:
    return Delivery("control", control.epoch, ())
