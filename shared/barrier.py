"""Named points in the code where a test can stop, or kill, a process; otherwise they cost nothing.

A program arms them from a setting, several separated by commas: "name=kill" kills the process there, "name:3=kill" at
the third time. "name=kill-once:/path" kills only while there is no file /path, which it makes before: what is started
again lives, and removing the file arms the point anew. "name=pause:/path" waits there while there is a file /path (the
file "<path>.reached" tells that it is waiting). What depends on a file counts only the times when it is armed by it.
"us/name=..." is meant for the processes of the silo `us` alone. Tests in the same process register functions instead.
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


def _killer_once(at: int, path: Path) -> Callable[[int], None]:
    armed = itertools.count(1)

    def kill(_times: int) -> None:
        if not path.exists() and next(armed) >= at:
            # Of several processes, or threads, that come here only the one that makes the file dies.
            with suppress(FileExistsError):
                path.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)

    return kill


def _pauser(at: int, path: Path) -> Callable[[int], None]:
    armed = itertools.count(1)

    def pause(_times: int) -> None:
        if path.exists() and next(armed) == at:
            path.with_name(path.name + ".reached").touch()
            while path.exists():
                time.sleep(_PAUSE_STEP_S)

    return pause


_KINDS: dict[str, Callable[[int, Path], Callable[[int], None]]] = {
    "kill": _killer,
    "kill-once": _killer_once,
    "pause": _pauser,
}
