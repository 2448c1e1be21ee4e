"""The drainer as `work` runs it: woken by commits, polling besides, slow targets apart, and ending when told."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import structlog
from prometheus_client import REGISTRY
from sqlalchemy import text
from structlog.testing import capture_logs

from shared.cleaner import Cleaner, Task
from shared.errors import StoreUnreachable
from shared.outbox import cleaner
from shared.outbox.domain import CHANNEL, Delivery
from shared.outbox.drainer import Drainer
from shared.wake import Listener, Waker
from tests.clock import FakeClock
from tests.integration.outbox.silos import Silo, Wires, drain_all

pytestmark = pytest.mark.integration


def eventually(found: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if found():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen within 10 s")


class Running:
    """The drainer in a thread of its own, for the length of a `with` block."""

    def __init__(self, drainer: Drainer, wait: Callable[[float], object] | None = None) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=drainer.run, args=(self.stop, wait))

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_a_commit_wakes_the_drainer_long_before_it_polls(control: Silo, us: Silo, wires: Wires) -> None:
    waker = Waker(control.url)
    control.database.wake = waker.wake
    listener = Listener(control.url, [CHANNEL])
    try:
        with Running(control.drainer(wires, poll_s=60), lambda timeout_s: listener.wait(min(timeout_s, 15))) as running:
            control.say("a", "1")
            eventually(lambda: us.told_words("a") == ["1"])
            control.say("a", "2")
            eventually(lambda: us.told_words("a") == ["1", "2"])
            eventually(lambda: control.waiting() == 0)
            running.stop.set()
            waker.wake(CHANNEL)
    finally:
        waker.close()
        listener.close()


def test_without_any_wake_up_the_poll_finds_everything(control: Silo, us: Silo, wires: Wires) -> None:
    with Running(control.drainer(wires, poll_s=0.05)):
        control.say("a", "1")
        eventually(lambda: us.told_words("a") == ["1"])
        control.say("a", "2")
        eventually(lambda: us.told_words("a") == ["1", "2"])


def test_a_target_that_hangs_does_not_delay_another(
    control: Silo, us: Silo, wires: Wires, make_peer: Callable[[str], Silo]
) -> None:
    de = wires.silos["de"] = make_peer("de")
    hanging, go_on = threading.Event(), threading.Event()

    def hang(target: str, delivery: Delivery) -> None:
        if target == "us":
            hanging.set()
            assert go_on.wait(20)

    wires.before = hang
    with Running(control.drainer(wires, poll_s=0.05)):
        control.say("a", "1", target="us")
        assert hanging.wait(20)
        control.say("a", "1", target="de")
        eventually(lambda: de.told_words("a") == ["1"])
        assert us.told_words("a") == []
        go_on.set()
        eventually(lambda: us.told_words("a") == ["1"])


def test_a_listener_that_loses_its_connection_waits_and_comes_back(control: Silo) -> None:
    listener = Listener(control.url, ["one", "two"])
    waker = Waker(control.url)
    try:
        assert listener.wait(1) == {"one", "two"}, "what was told before is not known"
        waker.wake("two")
        assert listener.wait(10) == {"two"}
        assert listener.wait(0.05) == set()
        kill = text(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            " AND datname = current_database()"
        )
        control.database.read(lambda t: t.execute(kill).all())
        assert listener.wait(0.05) == set()
        eventually(lambda: listener.wait(0.1) == {"one", "two"})
    finally:
        waker.close()
        listener.close()


def test_waking_is_one_notification_however_often_it_was_asked(control: Silo) -> None:
    listener = Listener(control.url, ["one", "end"])
    waker = Waker(control.url)
    try:
        listener.wait(1)
        for _ in range(100):
            waker.wake("one")
        waker.wake("end")
        told: list[set[str]] = []
        while not told or "end" not in told[-1]:
            told.append(listener.wait(10))
        assert len(told) <= 50
    finally:
        waker.close()
        listener.close()


def test_the_gauges_tell_depth_and_age_of_the_backlog(control: Silo, wires: Wires, clock: FakeClock) -> None:
    control.say("a", "1", "2")
    clock.advance(90)
    control.say("b", "1")
    control.drainer(wires).measure("us")
    assert REGISTRY.get_sample_value("siloway_outbox_depth", {"target": "us"}) == 3
    assert REGISTRY.get_sample_value("siloway_outbox_oldest_age_seconds", {"target": "us"}) == 90


def test_deleted_subjects_are_remembered_for_their_retention(
    control: Silo, us: Silo, wires: Wires, clock: FakeClock
) -> None:
    control.write("kept", "x")
    control.write("gone", "x")
    control.database.transact(lambda t: control.write_in(t, "gone", None))
    drain_all(control.drainer(wires))
    task = Task("inbox_subject", timedelta(days=30), cleaner.clean, cleaner.oldest)
    clock.advance(timedelta(days=29).total_seconds())
    assert Cleaner(us.database, [task]).clean_once() == {"inbox_subject": 0}
    clock.advance(timedelta(days=2).total_seconds())
    assert Cleaner(us.database, [task]).clean_once() == {"inbox_subject": 1}
    left = us.database.read(lambda t: t.execute(text("SELECT subject FROM inbox_subject")).scalars().all())
    assert list(left) == ["kept"]


def test_one_failing_task_does_not_stop_the_other_cleaners(us: Silo) -> None:
    def fail(*arguments: object) -> int:
        raise RuntimeError("made up")

    day = timedelta(days=1)
    tasks = [Task("bad", day, fail, cleaner.oldest), Task("good", day, cleaner.clean, cleaner.oldest)]
    assert Cleaner(us.database, tasks).clean_once() == {"good": 0}


def test_a_cleaner_tells_of_an_outage_in_one_line_and_of_a_mistake_with_its_place(us: Silo) -> None:
    def away(*arguments: object) -> int:
        raise StoreUnreachable

    def wrong(*arguments: object) -> int:
        raise RuntimeError("made up")

    day = timedelta(days=1)
    tasks = [Task("away", day, away, cleaner.oldest), Task("wrong", day, wrong, cleaner.oldest)]
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        with capture_logs() as told:
            assert Cleaner(us.database, tasks).clean_once() == {}
    finally:
        structlog.configure(**before)
    assert [(each["event"], each["log_level"], "exc_info" in each) for each in told] == [
        ("cleaning_waits", "warning", False),
        ("cleaning_failed", "error", True),
    ]
    assert told[0]["reason"] == StoreUnreachable.reason
