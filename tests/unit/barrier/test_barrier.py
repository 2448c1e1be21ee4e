"""Which points a setting arms in which silo, and when a point that depends on a file acts."""

import os
import signal
import threading
import uuid
from pathlib import Path

import pytest

from shared import barrier
from tests.stack import wait_until


@pytest.fixture
def name() -> str:
    """A point of the test's own: what is armed stays armed."""
    return f"test.{uuid.uuid4()}"


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that this process would have got."""
    signals: list[int] = []

    def note(pid: int, number: int) -> None:
        assert pid == os.getpid()
        signals.append(number)

    monkeypatch.setattr(os, "kill", note)
    return signals


def test_a_point_kills_once_each_time_that_it_is_told_to(name: str, killed: list[int], tmp_path: Path) -> None:
    file = tmp_path / "told"
    barrier.arm(f"{name}=told:{file}")
    for number in range(1, 3):
        barrier.reach(name)
        file.write_text("kill 1")
        barrier.reach(name)
        barrier.reach(name)
        assert killed == [signal.SIGKILL] * number
        assert not file.exists()


def test_only_the_times_since_it_was_told_are_counted(name: str, killed: list[int], tmp_path: Path) -> None:
    file = tmp_path / "told"
    barrier.arm(f"{name}=told:{file}")
    for telling in range(1, 3):
        file.write_text("kill 9")
        os.utime(file, ns=(telling, telling))
        for _ in range(2):
            barrier.reach(name)
    file.write_text("kill 3")
    for passed in range(3):
        assert killed == [], passed
        barrier.reach(name)
    assert killed == [signal.SIGKILL]


def test_a_point_waits_for_as_long_as_it_is_told_to(name: str, killed: list[int], tmp_path: Path) -> None:
    file = tmp_path / "told"
    barrier.arm(f"{name}=told:{file}")
    file.write_text("pause 1")
    waiting = threading.Thread(target=barrier.reach, args=(name,))
    waiting.start()
    wait_until((tmp_path / "told.reached").exists, "nobody waits")
    assert waiting.is_alive()
    file.unlink()
    waiting.join(10)
    assert not waiting.is_alive()
    assert killed == []


def test_a_point_of_another_silo_is_not_armed(name: str, killed: list[int], tmp_path: Path) -> None:
    (tmp_path / "us").write_text("kill 1")
    spec = f"us/{name}=told:{tmp_path / 'us'}, de/{name}.other=told:{tmp_path / 'de'}"
    barrier.arm(spec, "control")
    barrier.reach(name)
    assert killed == []
    barrier.arm(spec, "us")
    barrier.reach(f"{name}.other")
    assert killed == []
    barrier.reach(name)
    assert killed == [signal.SIGKILL]


def test_a_pause_without_its_file_is_none(name: str, tmp_path: Path) -> None:
    barrier.arm(f"{name}=pause:{tmp_path / 'gate'}")
    barrier.reach(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["x=told", "x=kill:/path", "x=pause", "us/=kill", "x:many=kill", "x=stop:/path"])
def test_what_cannot_be_read_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="cannot read the barrier"):
        barrier.arm(wrong)
