"""Named points in the code where a test can stop, or kill, a process; otherwise they cost nothing.

`__main__` arms them from a setting: "name=kill" kills the process there, "name:3=kill" at the third time, and
"name=pause:/path" waits there until the file is gone (the file "<path>.reached" tells that it is waiting). Several are
separated by commas. Tests in the same process register functions instead.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_STEP_S = 0.02

_actions: dict[str, Callable[[int], None]] = {}
_reached: Counter[str] = Counter()
_lock = threading.Lock()


def reach(name: str) -> None:
    """Say that the point `name` is reached."""
    if not _actions:
        return
    with _lock:
        action = _actions.get(name)
        _reached[name] += 1
        times = _reached[name]
    if action is not None:
        action(times)


def arm(spec: str) -> None:
    """Arm the points of `spec`; raises ValueError when it cannot be read."""
    for part in filter(None, (each.strip() for each in spec.split(","))):
        point, _, what = part.partition("=")
        name, _, times = point.partition(":")
        if not name or not (what == "kill" or what.startswith("pause:")):
            raise ValueError(f"cannot read the barrier {part!r}")
        at = int(times) if times else 1
        with _lock:
            _actions[name] = _killer(at) if what == "kill" else _pauser(at, Path(what.removeprefix("pause:")))


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


def _killer(at: int) -> Callable[[int], None]:
    def kill(times: int) -> None:
        if times == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def _pauser(at: int, path: Path) -> Callable[[int], None]:
    def pause(times: int) -> None:
        if times == at:
            path.with_name(path.name + ".reached").touch()
            while path.exists():
                time.sleep(_PAUSE_STEP_S)

    return pause
