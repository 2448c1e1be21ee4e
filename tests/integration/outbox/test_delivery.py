"""What was committed arrives, once, in its order, whatever the ways between do."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from shared import barrier, errors
from shared.database import Transaction
from shared.outbox.domain import Delivery, Message, Outcome, ShardDelivery
from tests.clock import FakeClock
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.outbox.silos import Silo, Wires, drain_all

pytestmark = pytest.mark.integration


def a_delivery(control: Silo, aggregate: str, first: int, *words: str) -> Delivery:
    messages = tuple(Message(aggregate, first + place, "word", "s", {"body": word}) for place, word in enumerate(words))
    shard = ShardDelivery(aggregate, first - 1, first + len(words) - 1, messages)
    return Delivery("control", control.epoch, (shard,))


def a_state(control: Silo, sequence: int, version: int, body: str | None) -> Delivery:
    message = Message("notes/a", sequence, "note", "a", {"body": body}, version, deleted=body is None)
    return Delivery("control", control.epoch, (ShardDelivery("notes/a", sequence - 1, sequence, (message,)),))


def test_words_arrive_in_the_order_of_their_commits_and_leave_nothing_behind(
    control: Silo, us: Silo, wires: Wires
) -> None:
    control.say("a", "1", "2")
    control.say("b", "x")
    control.say("a", "3")
    drain_all(control.drainer(wires))
    assert (us.told_words("a"), us.told_words("b")) == (["1", "2", "3"], ["x"])
    assert control.waiting() == 0
    assert control.database.read(lambda t: t.execute(text("SELECT count(*) FROM outbox_lease")).scalar_one()) == 0


def test_case_38_a_hundred_updates_of_one_note_are_one_message_with_the_newest_state(
    control: Silo, us: Silo, wires: Wires
) -> None:
    for number in range(100):
        control.write("a", f"body {number}", aggregate="shared")
    control.write("b", "other", aggregate="shared")
    drain_all(control.drainer(wires))
    assert us.told_notes() == {"a": "body 99", "b": "other"}
    assert [len(call) for call in us.calls] == [2]
    assert control.waiting() == 0


def test_case_37_a_rolled_back_change_says_nothing_and_a_committed_one_is_heard(
    control: Silo, us: Silo, wires: Wires
) -> None:
    def broken(transaction: Transaction) -> None:
        control.write_in(transaction, "a", "never")
        raise errors.ProjectExists

    with pytest.raises(errors.ProjectExists):
        control.database.transact(broken)
    drain_all(control.drainer(wires))
    assert (control.waiting(), us.calls, control.notes()) == (0, [], {})
    control.write("a", "now")
    drain_all(control.drainer(wires))
    assert (us.calls, us.told_notes()) == ([["a"]], {"a": "now"})


def test_fault_O6_an_hour_without_a_drainer_ends_with_every_shard_served_in_turn(
    control: Silo, us: Silo, wires: Wires, clock: FakeClock
) -> None:
    for minute in range(60):
        control.write("a", f"body {minute}", aggregate="state")
        control.say("deep", *[f"{minute}.{number}" for number in range(10)])
        control.say(f"s{minute % 6}", str(minute))
        clock.advance(60)
    drainer = control.drainer(wires, messages_per_shard=50)
    assert drainer.drain_once().claimed == 8
    assert us.told_notes() == {"a": "body 59"}, "the state is read when it is delivered"
    assert all(len(us.told_words(f"s{each}")) == 10 for each in range(6)), "a deep shard keeps nobody waiting"
    drain_all(drainer)
    assert us.told_notes() == {"a": "body 59"}
    assert us.told_words("deep") == [f"{minute}.{number}" for minute in range(60) for number in range(10)]
    assert [len(each) for each in us.calls if each == ["a"]] == [1], "sixty updates are one"
    assert control.waiting() == 0


@pytest.fixture
def late_writer(control: Silo) -> Iterator[Callable[[], None]]:
    """Another thread has written its message in shard `late` and stands before COMMIT; the value lets it commit."""
    written, go_on = threading.Event(), threading.Event()

    def stop_the_first(times: int) -> None:
        if times == 1:
            written.set()
            assert go_on.wait(20)

    with barrier.registered("before_commit", stop_the_first):
        thread = threading.Thread(target=control.write, args=("a", "late"), kwargs={"aggregate": "late"})
        thread.start()
        assert written.wait(20)

        def commit() -> None:
            go_on.set()
            thread.join(20)

        yield commit
        commit()


def test_fault_O4_a_message_that_commits_late_is_not_lost(
    control: Silo, us: Silo, wires: Wires, late_writer: Callable[[], None]
) -> None:
    """It has the lower id, and commits while the higher one is under way: settling must not take it along."""
    control.write("b", "early", aggregate="early")
    wires.before = lambda target, delivery: late_writer()
    drainer = control.drainer(wires)
    assert drainer.drain_once().delivered == 1
    waiting, delivered = control.waiting(), us.told_notes()
    assert (waiting, delivered) == (1, {"b": "early"})
    drain_all(drainer)
    assert us.told_notes() == {"b": "early", "a": "late"}


def test_a_shard_has_its_sequences_in_the_order_of_the_commits(
    control: Silo, us: Silo, wires: Wires, late_writer: Callable[[], None]
) -> None:
    second = threading.Thread(target=control.write, args=("b", "second"), kwargs={"aggregate": "late"})
    second.start()
    wait_for_a_blocked_session(control.database)
    assert control.drainer(wires).drain_once().claimed == 0
    late_writer()
    second.join(20)
    drain_all(control.drainer(wires))
    [(_, delivery)] = wires.deliveries
    assert [(m.sequence, m.subject) for m in delivery.shards[0].messages] == [(1, "a"), (2, "b")]


def test_case_43_a_second_drainer_passes_a_leased_shard_at_once_and_cannot_overtake_the_first(
    control: Silo, us: Silo, wires: Wires
) -> None:
    control.say("a", "1")
    first, second = control.drainer(wires), control.drainer(wires)

    def overtake(times: int) -> None:
        control.say("a", "2")
        assert second.drain_once().claimed == 0

    with barrier.registered("after_claim", overtake):
        assert first.drain_once().claimed == 1
    drain_all(second)
    assert us.told_words("a") == ["1", "2"]


def test_two_drainers_that_claim_at_once_share_the_shards(control: Silo, us: Silo, wires: Wires) -> None:
    for number in range(20):
        control.say(f"s{number}", "w")
    drainers = [control.drainer(wires, shards_per_claim=3) for _ in range(2)]
    threads = [threading.Thread(target=drain_all, args=(drainer,)) for drainer in drainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    drain_all(drainers[0])
    assert [us.told_words(f"s{number}") for number in range(20)] == [["w"]] * 20
    assert control.waiting() == 0


def test_of_two_claims_at_the_same_moment_one_gets_the_shard(control: Silo, wires: Wires) -> None:
    control.say("a", "1")
    stopped, go_on = threading.Event(), threading.Event()
    claimed: list[int] = []

    def claim() -> None:
        claimed.append(len(control.drainer(wires)._claim("us", "", 10)[0].shards))

    def stop_the_first(times: int) -> None:
        if times == 1:
            stopped.set()
            assert go_on.wait(20)

    with barrier.registered("before_commit", stop_the_first):
        threads = [threading.Thread(target=claim) for _ in range(2)]
        threads[0].start()
        assert stopped.wait(20)
        threads[1].start()
        wait_for_a_blocked_session(control.database)
        go_on.set()
        for thread in threads:
            thread.join(20)
    assert sorted(claimed) == [0, 1]


def test_a_duplicate_has_no_second_effect(control: Silo, us: Silo) -> None:
    delivery = a_delivery(control, "a", 1, "1", "2")
    for _ in range(2):
        assert [result.outcome for result in us.receive(delivery)] == [Outcome.APPLIED]
    assert us.told_words("a") == ["1", "2"]


def test_an_overlapping_delivery_applies_only_what_is_new(control: Silo, us: Silo) -> None:
    us.receive(a_delivery(control, "a", 1, "1", "2"))
    us.receive(a_delivery(control, "a", 1, "1", "2", "3"))
    assert us.told_words("a") == ["1", "2", "3"]


def test_a_reordered_delivery_is_refused_as_a_gap_until_the_missing_one_has_come(control: Silo, us: Silo) -> None:
    early, late = a_delivery(control, "a", 1, "1"), a_delivery(control, "a", 2, "2")
    [result] = us.receive(late)
    assert (result.outcome, result.last_sequence) == (Outcome.GAP, 0)
    us.receive(early)
    [result] = us.receive(late)
    assert (result.outcome, result.last_sequence) == (Outcome.APPLIED, 2)
    us.receive(early)
    assert us.told_words("a") == ["1", "2"]


def test_a_shard_with_a_gap_does_not_stop_the_others(control: Silo, us: Silo) -> None:
    gap, good = a_delivery(control, "a", 5, "5"), a_delivery(control, "b", 1, "1")
    results = us.receive(replace(gap, shards=gap.shards + good.shards))
    assert [result.outcome for result in results] == [Outcome.GAP, Outcome.APPLIED]
    assert us.told_words("b") == ["1"]


def test_a_late_upsert_does_not_bring_a_deleted_note_back(control: Silo, us: Silo) -> None:
    us.receive(a_state(control, 1, 1, "first"))
    us.receive(a_state(control, 2, 3, None))
    [result] = us.receive(a_state(control, 3, 2, "late"))
    assert result.outcome is Outcome.APPLIED
    assert us.told_notes() == {}
    us.receive(a_state(control, 4, 4, "made again"))
    assert us.told_notes() == {"a": "made again"}


def test_a_deletion_is_delivered_as_a_state_with_a_version(control: Silo, us: Silo, wires: Wires) -> None:
    control.write("a", "x")
    drain_all(control.drainer(wires))
    control.database.transact(lambda t: control.write_in(t, "a", None))
    drain_all(control.drainer(wires))
    assert us.told_notes() == {}
    message = wires.deliveries[-1][1].shards[0].messages[0]
    assert (message.version, message.deleted) == (2, True)


def test_one_target_that_is_down_does_not_hold_up_another(
    control: Silo, us: Silo, wires: Wires, make_peer: Callable[[str], Silo]
) -> None:
    de = wires.silos["de"] = make_peer("de")
    wires.down = {"us"}
    control.write("a", "x", "us", "de")
    drainer = control.drainer(wires)
    report = drainer.drain_once()
    assert (report.delivered, report.outages) == (1, 1)
    assert de.told_notes() == {"a": "x"}
    assert (control.waiting("us"), control.waiting("de")) == (1, 0)


def test_another_epoch_is_refused_and_nothing_of_it_is_taken_for_a_repeat(
    control: Silo, us: Silo, clock: FakeClock
) -> None:
    us.receive(a_delivery(control, "a", 1, "1", "2"))
    restored = replace(a_delivery(control, "a", 1, "new"), epoch="00000000-0000-0000-0000-000000000001")
    [result] = us.receive(restored)
    assert result.outcome is Outcome.EPOCH_UNKNOWN
    assert us.told_words("a") == ["1", "2"]


def test_a_refused_epoch_keeps_the_messages_and_backs_off(
    control: Silo, us: Silo, wires: Wires, clock: FakeClock
) -> None:
    us.receive(replace(a_delivery(control, "z", 1, "1"), epoch="00000000-0000-0000-0000-000000000001"))
    control.say("a", "1")
    drainer = control.drainer(wires)
    assert drainer.drain_once().refused == 1
    assert drainer.drain_once().claimed == 0
    assert control.waiting() == 1


def test_an_outage_of_an_hour_ends_with_everything_delivered_and_no_message_blamed(
    control: Silo, us: Silo, wires: Wires, clock: FakeClock
) -> None:
    wires.down = {"us"}
    drainer = control.drainer(wires)
    for minute in range(60):
        control.say(f"s{minute % 7}", str(minute))
        # Ten minutes are looked at twice in each interval of the probes, the others every 20 s.
        step_s = 2.5 if minute < 10 else 20.0
        for _ in range(int(60 / step_s)):
            drainer.drain_once()
            clock.advance(step_s)
        if minute == 9:
            assert 100 <= len(wires.deliveries) <= 122, "one probe in 5 s"
    assert len(wires.deliveries) >= 100 + 50 * 3, "it never ceases to probe"
    assert all(len(delivery.shards) == 1 for _, delivery in wires.deliveries[1:]), "probes are small"
    blamed = text("SELECT count(*) FROM outbox_message WHERE attempts > 0 OR last_error IS NOT NULL")
    assert control.database.read(lambda t: t.execute(blamed).scalar_one()) == 0
    wires.down = set()
    clock.advance(30)
    drain_all(drainer)
    assert control.waiting() == 0
    assert [us.told_words(f"s{each}") for each in range(7)] == [
        [str(minute) for minute in range(60) if minute % 7 == each] for each in range(7)
    ]


def test_a_lease_lost_in_the_middle_settles_nothing(control: Silo, us: Silo, wires: Wires, clock: FakeClock) -> None:
    control.say("a", "1")
    first, second = control.drainer(wires), control.drainer(wires)
    in_the_middle = []

    def take_over(times: int) -> None:
        if times > 1:
            return
        clock.advance(30 + 5)
        assert second.drain_once().claimed == 0, "leases tolerate 5 s of skew"
        clock.advance(1)
        assert second.drain_once().delivered == 1
        control.say("a", "2")
        in_the_middle.append(control.waiting())

    with barrier.registered("after_deliver", take_over):
        report = first.drain_once()
    assert in_the_middle == [1]
    assert (report.delivered, report.lease_lost) == (0, 1)
    assert control.waiting() == 1
    drain_all(first)
    assert us.told_words("a") == ["1", "2"]


def test_a_lease_that_another_holds_now_is_not_settled_by_the_first(
    control: Silo, us: Silo, wires: Wires, clock: FakeClock
) -> None:
    control.say("a", "1")
    first, second = control.drainer(wires), control.drainer(wires)
    held: list[str] = []

    def take_over(times: int) -> None:
        clock.advance(36)
        held.append(second._claim("us", "", 10)[0].token)

    with barrier.registered("after_deliver", take_over):
        report = first.drain_once()
    assert (report.delivered, report.lease_lost, control.waiting()) == (0, 1, 1)
    token = control.database.read(lambda t: t.execute(text("SELECT token::text FROM outbox_lease")).scalar_one())
    assert [token] == held


def test_the_answer_that_is_lost_costs_a_repeat_and_nothing_else(
    control: Silo, us: Silo, wires: Wires, clock: FakeClock
) -> None:
    def lose(target: str, delivery: Delivery) -> None:
        wires.after = None
        raise errors.DeadlineExceeded

    control.say("a", "1")
    wires.after = lose
    drainer = control.drainer(wires)
    assert drainer.drain_once().outages == 1
    clock.advance(2)
    drain_all(drainer)
    assert us.told_words("a") == ["1"]
    assert control.waiting() == 0
