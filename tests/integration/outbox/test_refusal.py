"""A shard that is refused waits longer and longer; nobody waits with it."""

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from shared import errors
from shared.outbox.domain import Delivery
from tests.clock import FakeClock
from tests.integration.outbox.silos import Silo, Wires, drain_all

pytestmark = pytest.mark.integration


def test_a_bad_shard_fails_alone(control: Silo, us: Silo, wires: Wires) -> None:
    us.refuses = {"bad"}
    for aggregate in ("a", "bad", "c"):
        control.say(aggregate, "1")
    report = control.drainer(wires).drain_once()
    assert (report.delivered, report.refused) == (2, 1)
    assert (us.told_words("a"), us.told_words("bad"), us.told_words("c")) == (["1"], [], ["1"])
    kept = control.database.read(lambda t: t.execute(text("SELECT attempts, last_error FROM outbox_message")).one())
    assert kept.attempts == 1
    assert "FAILED_PRECONDITION: bad is not wanted" in kept.last_error


def test_what_a_failing_handler_says_stays_in_its_silo(control: Silo, us: Silo, wires: Wires) -> None:
    us.database.transact(lambda t: t.execute(text("DROP TABLE told_word")))
    control.say("a", "secret")
    control.drainer(wires).drain_once()
    error = control.database.read(lambda t: t.execute(text("SELECT last_error FROM outbox_message")).scalar_one())
    assert error == "REFUSED INTERNAL: the handler failed"


def test_case_39_the_waits_double_from_2_seconds_to_an_hour_and_a_fresh_message_ends_one(
    control: Silo, us: Silo, wires: Wires, clock: FakeClock
) -> None:
    us.refuses = {"bad"}
    control.say("bad", "1")
    drainer = control.drainer(wires, refusals_max=100)
    before = REGISTRY.get_sample_value(
        "siloway_outbox_refused_total", {"target": "us", "reason": "FAILED_PRECONDITION"}
    )
    for wait_s in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]:
        assert drainer.drain_once().refused == 1
        clock.advance(wait_s - 1)
        assert drainer.drain_once().claimed == 0, f"waits {wait_s} s"
        clock.advance(1)
    after = REGISTRY.get_sample_value("siloway_outbox_refused_total", {"target": "us", "reason": "FAILED_PRECONDITION"})
    assert (after or 0) - (before or 0) == 13
    assert drainer.drain_once().refused == 1
    us.refuses = set()
    control.say("bad", "2")
    assert drainer.drain_once().delivered == 2
    assert us.told_words("bad") == ["1", "2"]


def test_a_success_ends_the_count_of_refusals(control: Silo, us: Silo, wires: Wires, clock: FakeClock) -> None:
    us.refuses = {"a"}
    drainer = control.drainer(wires)
    control.say("a", "1")
    drainer.drain_once()
    us.refuses = set()
    clock.advance(2)
    assert drainer.drain_once().delivered == 1
    us.refuses = {"a"}
    control.say("a", "2")
    drainer.drain_once()
    clock.advance(2)
    assert drainer.drain_once().claimed == 1


def test_a_delivery_that_the_target_does_not_take_is_split_to_find_the_shard(
    control: Silo, us: Silo, wires: Wires
) -> None:
    def not_taken(target: str, delivery: Delivery) -> None:
        if any(shard.aggregate == "bad" for shard in delivery.shards):
            raise errors.Internal

    wires.before = not_taken
    for aggregate in ("a", "bad", "c"):
        control.say(aggregate, "1")
    report = control.drainer(wires).drain_once()
    assert (report.delivered, report.refused) == (2, 1)


def test_a_deep_shard_does_not_starve_the_others(control: Silo, us: Silo, wires: Wires) -> None:
    control.say("a", *[str(number) for number in range(700)])
    control.say("b", "1")
    control.say("c", "1")
    drainer = control.drainer(wires, messages_per_shard=10, shards_per_claim=1)
    for _ in range(3):
        drainer.drain_once()
    assert (us.told_words("b"), us.told_words("c"), len(us.told_words("a"))) == (["1"], ["1"], 10)
    drain_all(drainer)
    assert us.told_words("a") == [str(number) for number in range(700)]


def test_many_backed_off_shards_do_not_hide_the_due_ones(control: Silo, us: Silo, wires: Wires) -> None:
    us.refuses = {f"bad{number:03}" for number in range(40)}
    for aggregate in sorted(us.refuses):
        control.say(aggregate, "1")
    drainer = control.drainer(wires, shards_per_claim=2)
    for _ in range(20):
        drainer.drain_once()
    control.say("good", "1")
    for _ in range(4):
        drainer.drain_once()
    assert us.told_words("good") == ["1"]


def test_a_large_backlog_travels_in_deliveries_of_bounded_size(control: Silo, us: Silo, wires: Wires) -> None:
    for number in range(6):
        control.say(f"s{number}", "x" * 700, "y" * 700)
    drain_all(control.drainer(wires, bytes_per_delivery=1024))
    assert all(len(d.shards) == 1 and len(d.shards[0].messages) == 1 for _, d in wires.deliveries)
    assert control.waiting() == 0


def test_a_message_too_large_for_any_delivery_is_refused_when_it_is_saved(control: Silo) -> None:
    with pytest.raises(errors.LimitExceeded):
        control.say("a", "x" * (2 << 20))
    assert control.waiting() == 0
