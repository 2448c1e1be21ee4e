"""Which points a setting arms in which silo, and when a point that depends on a file acts."""

import os
import signal
import uuid
from pathlib import Path

import pytest

from shared import barrier


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


def test_a_point_kills_once_until_its_file_is_removed(name: str, killed: list[int], tmp_path: Path) -> None:
    file = tmp_path / "once"
    barrier.arm(f"{name}=kill-once:{file}")
    for _ in range(3):
        barrier.reach(name)
    assert killed == [signal.SIGKILL]
    assert file.exists()
    file.unlink()
    barrier.reach(name)
    assert killed == [signal.SIGKILL] * 2


def test_only_the_times_while_it_is_armed_are_counted(name: str, killed: list[int], tmp_path: Path) -> None:
    file = tmp_path / "held-off"
    file.touch()
    barrier.arm(f"{name}:3=kill-once:{file}")
    for _ in range(5):
        barrier.reach(name)
    file.unlink()
    for passed in range(3):
        assert killed == [], passed
        barrier.reach(name)
    assert killed == [signal.SIGKILL]


def test_a_point_of_another_silo_is_not_armed(name: str, killed: list[int], tmp_path: Path) -> None:
    spec = f"us/{name}=kill-once:{tmp_path / 'us'}, de/{name}.other=kill-once:{tmp_path / 'de'}"
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


@pytest.mark.parametrize("wrong", ["x=kill-once", "x=kill:/path", "x=pause", "us/=kill", "x:many=kill", "x=stop:/path"])
def test_what_cannot_be_read_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="cannot read the barrier"):
        barrier.arm(wrong)
