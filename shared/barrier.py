"""Named points in the code where a test can stop, or kill, a process; otherwise they cost nothing.

A program arms them from a setting, several separated by commas: "name=kill" kills the process there, "name:3=kill" at
the third time. "name=pause:/path" waits there while there is a file /path (the file "<path>.reached" tells that it is
waiting). "name=told:/path" does what a file /path says, "kill 3" or "pause 3", at the third time since the file is
there; what is told to die removes the file before, so what is started again lives. "us/name=..." is meant for the
processes of the silo `us` alone. Tests in the same process register functions instead.
"""

import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PAUSE_STEP_S = 0.02

_actions: dict[str, Callable[[int], None]] = {}
_reached: Counter[str] = Counter()
_lock = threading.Lock()


def is_armed() -> bool:
    """Whether somebody may be told of a point: then what is to be done before it is done."""
    return bool(_actions)


def reach(name: str, kinds: Iterable[str] = ()) -> None:
    """Say that the point `name` is reached, and "<name>.<kind>" for each kind of what is there at hand."""
    if not _actions:
        return
    for point in (name, *dict.fromkeys(f"{name}.{kind}" for kind in kinds)):
        _reach(point)


def _reach(name: str) -> None:
    with _lock:
        action = _actions.get(name)
        _reached[name] += 1
        times = _reached[name]
    if action is not None:
        action(times)


def arm(spec: str, silo: str = "") -> None:
    """Arm the points of `spec` that are meant for `silo`; raises ValueError when it cannot be read."""
    for part in filter(None, (each.strip() for each in spec.split(","))):
        point, _, what = part.partition("=")
        place, _, times = point.partition(":")
        only, _, name = place.rpartition("/")
        kind, _, path = what.partition(":")
        if not name or kind not in _KINDS or bool(path) != (kind != "kill") or not (times or "1").isdigit():
            raise ValueError(f"cannot read the barrier {part!r}")
        if only in ("", silo):
            with _lock:
                _actions[name] = _KINDS[kind](int(times or 1), Path(path))


@contextmanager
def registered(name: str, action: Callable[[int], None]) -> Iterator[None]:
    """For tests: run `action(n)` whenever `name` is reached for the n-th time inside the block."""
    with _lock:
        assert name not in _actions, f"the barrier {name} is armed already"
        _actions[name] = action
        _reached[name] = 0
    try:
        yield
    finally:
        with _lock:
            del _actions[name]


def _killer(at: int, _path: Path) -> Callable[[int], None]:
    def kill(times: int) -> None:
        if times == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def _as_told(_at: int, path: Path) -> Callable[[int], None]:
    passed: Counter[int] = Counter()

    def act(_times: int) -> None:
        try:
            what, _, at = path.read_text().partition(" ")
            telling = path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        with _lock:
            passed[telling] += 1
            is_here = passed[telling] == int(at)
        if is_here and what == "pause":
            _wait(path)
        elif is_here:
            # Of several processes that come here only the one that removes the file dies.
            with suppress(FileNotFoundError):
                path.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    return act


def _pauser(at: int, path: Path) -> Callable[[int], None]:
    armed = itertools.count(1)

    def pause(_times: int) -> None:
        if path.exists() and next(armed) == at:
            _wait(path)

    return pause


def _wait(path: Path) -> None:
    path.with_name(path.name + ".reached").touch()
    while path.exists():
        time.sleep(_PAUSE_STEP_S)


_KINDS: dict[str, Callable[[int, Path], Callable[[int], None]]] = {
    "kill": _killer,
    "pause": _pauser,
    "told": _as_told,
}
