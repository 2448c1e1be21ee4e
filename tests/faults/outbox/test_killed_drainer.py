"""A drainer that is killed at any step costs a repeat, and neither a message nor a second effect."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.clock import FakeClock
from tests.integration.outbox.silos import Silo, Wires, drain_all

pytestmark = [pytest.mark.integration, pytest.mark.faults]

_WORDS = [str(number) for number in range(8)]


@pytest.fixture
def pair(make_database: Callable[[str | None], str], control_template: str) -> Iterator[tuple[Silo, Silo]]:
    clock = FakeClock()
    control = Silo("control", make_database(control_template), clock)
    us = Silo("us", make_database(control_template), clock)
    yield control, us
    control.close()
    us.close()


@pytest.mark.parametrize("point", ["after_claim", "after_deliver", "before_settle"])
def test_a_drainer_killed_in_the_middle_loses_and_repeats_nothing(point: str, pair: tuple[Silo, Silo]) -> None:
    control, us = pair
    for aggregate in ("a", "b", "c"):
        control.say(aggregate, *_WORDS)
        control.write(aggregate, f"body of {aggregate}")
    said = control.waiting()
    command = [sys.executable, "-m", "tests.faults.outbox.draining_child", control.url, us.url, f"{point}:2=kill"]
    child = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert 0 < control.waiting() < said, "it was in the middle"
    drainer = control.drainer(Wires(us))
    drain_all(drainer)
    assert control.waiting() > 0, "the dead drainer's leases still hold"
    control.clock.advance(36)
    drain_all(drainer)
    assert control.waiting() == 0
    assert [us.told_words(aggregate) for aggregate in ("a", "b", "c")] == [_WORDS] * 3
    assert us.told_notes() == control.notes()


def test_a_drainer_can_be_held_at_a_step(pair: tuple[Silo, Silo], tmp_path_factory: pytest.TempPathFactory) -> None:
    import threading

    control, us = pair
    control.say("a", "1")
    gate = tmp_path_factory.mktemp("gate") / "gate"
    gate.touch()
    command = [
        sys.executable,
        "-m",
        "tests.faults.outbox.draining_child",
        control.url,
        us.url,
        f"after_deliver=pause:{gate}",
    ]
    with subprocess.Popen(command) as child:
        reached = gate.with_name("gate.reached")
        pause = threading.Event()
        for _ in range(2000):
            if reached.exists():
                break
            pause.wait(0.01)
        assert (us.told_words("a"), control.waiting()) == (["1"], 1), "delivered and not settled"
        gate.unlink()
        assert child.wait(30) == 0
    assert control.waiting() == 0
