"""Child processes that never outlive this one.

Each child leads a session of its own, so that Ctrl-C reaches only the process that supervises, and asks the kernel for
a signal at its parent's death. That signal follows the *thread* that forked, so all children are forked by one thread
that lives as long as the process.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from shared.embedded import launcher
from shared.embedded.account import Mode, RunAs

POLL_S = 0.01
_LOG_BYTES_MAX = 10 * 1024 * 1024

_FORKER_LOCK = threading.Lock()
_FORKERS: dict[int, "_Forker"] = {}


class _Forker:
    """The one thread that forks."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._run, name="forker", daemon=True).start()

    def fork(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, answer))
        return answer.result()

    def _run(self) -> None:
        while True:
            job, answer = self._jobs.get()
            try:
                answer.set_result(job())
            except BaseException as problem:  # noqa: BLE001 - handed to the thread that asked
                answer.set_exception(problem)


def spawn(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    log_file: Path | None,
    run_as: RunAs | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` (a path first) in a session of its own; it gets `death_signal` when this process ends.

    Output is appended to `log_file`. The pid is the program's own: the launcher replaces itself.
    """
    who = run_as or RunAs(Mode.SAME, os.geteuid(), os.getegid())
    identity = [str(int(death_signal)), str(os.getpid()), who.mode.value, str(who.uid), str(who.gid)]
    whole = [sys.executable, "-I", "-S", launcher.__file__, *identity, *map(str, command)]

    def start(output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            whole,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=None if environment is None else dict(environment),
            cwd=folder,
        )

    if log_file is None:
        return _forker().fork(lambda: start(subprocess.DEVNULL))
    log_file.parent.mkdir(parents=True, exist_ok=True)
    # Only this process opens it, so that the child's account needs no right to it.
    with os.fdopen(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        return _forker().fork(lambda: start(output))


def stop(process: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> int:
    """Send each signal and wait its seconds until the process has ended; then SIGKILL. Returns the exit code."""
    for number, grace_s in steps:
        if process.poll() is None:
            process.send_signal(number)
            try:
                return process.wait(timeout=grace_s)
            except subprocess.TimeoutExpired:
                continue
    if process.poll() is None:
        process.kill()
    return process.wait()


def is_alive(pid: int) -> bool:
    """Whether a process of any parent still runs. A zombie is dead: it only waits for its parent to look."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def wait_until(reached: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until `reached()` holds; False when it did not within `timeout_s`."""
    ends_at = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() >= ends_at:
            return False
        time.sleep(POLL_S)
    return True


def rotate_log(log_file: Path, *, bytes_max: int = _LOG_BYTES_MAX) -> None:
    """Keep one earlier log: a file that has grown past `bytes_max` becomes `<name>.1`."""
    if log_file.exists() and log_file.stat().st_size > bytes_max:
        log_file.replace(log_file.with_name(log_file.name + ".1"))


_SAYS_NOTHING = ("(Background on this error", "[SQL:", "[parameters:")


def log_tail(log_file: Path, lines: int = 3) -> str:
    """The last lines of a log, on one line, for an error message."""
    if not log_file.exists():
        return ""
    with log_file.open("rb") as opened:
        opened.seek(max(0, log_file.stat().st_size - 4096))
        text = opened.read().decode(errors="replace")
    # SQLAlchemy ends its tracebacks with a link; what has happened stands before it.
    told = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_SAYS_NOTHING)]
    return " | ".join(told[-lines:])


def _forker() -> _Forker:
    with _FORKER_LOCK:
        # By process: a fork of this process has none of its threads.
        return _FORKERS.get(os.getpid()) or _FORKERS.setdefault(os.getpid(), _Forker())
