"""Keeps processes running: one that ended is started again, later each time it ends soon.

One thread does it all, by polling; what it does it says. The invariant: after `stop()` no process of it runs.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shared.embedded.failures import LocalStackError
from shared.embedded.process import rotate_log, spawn, stop, wait_until

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
# A process that ran this long is taken for healthy: its next end is a new story.
STEADY_AFTER_S = 60.0


class Supervised(Protocol):
    """Something that runs and can be started again."""

    name: str

    def is_running(self) -> bool: ...

    def start(self) -> None:
        """Raises LocalStackError."""
        ...

    def ending(self) -> str:
        """How it ended, for a person."""
        ...


@dataclass
class Program:
    """One program of a silo as a child process."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    log_file: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        rotate_log(self.log_file)
        # Killed, not asked: when the stack is gone so are the servers, and a slow end would hold the ports.
        self.process = spawn(
            self.command, death_signal=signal.SIGKILL, log_file=self.log_file, environment=self.environment
        )

    @property
    def pid(self) -> int:
        """Of the program that was started last; 0 before the first start."""
        return 0 if self.process is None else self.process.pid

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ending(self) -> str:
        code = None if self.process is None else self.process.poll()
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        return f"{how}, log: {self.log_file}"


@dataclass
class _Watched:
    subject: Supervised
    backoff_s: float = BACKOFF_FIRST_S
    started_at: float = field(default_factory=time.monotonic)
    restart_at: float | None = None


class Supervisor:
    """Watches what is running when it is made."""

    def __init__(
        self, subjects: Sequence[Supervised], say: Callable[[str], None], backoff_max_s: float = BACKOFF_MAX_S
    ) -> None:
        self._watched = [_Watched(subject) for subject in subjects]
        self._say = say
        self._backoff_max_s = backoff_max_s

    def tick(self, now: float) -> None:
        """Look once at all of them; `now` is monotonic seconds. Starts what is due, and says what has happened."""
        for watched in self._watched:
            if watched.subject.is_running():
                continue
            if watched.restart_at is None:
                self._note_end(watched, now)
            elif now >= watched.restart_at:
                self._restart(watched, now)

    def _note_end(self, watched: _Watched, now: float) -> None:
        if now - watched.started_at >= STEADY_AFTER_S:
            watched.backoff_s = BACKOFF_FIRST_S
        watched.restart_at = now + watched.backoff_s
        subject = watched.subject
        self._say(f"{subject.name} ended ({subject.ending()}); it starts again in {watched.backoff_s:g} s")
        watched.backoff_s = min(watched.backoff_s * 2, self._backoff_max_s)

    def _restart(self, watched: _Watched, now: float) -> None:
        watched.restart_at = None
        watched.started_at = now
        try:
            watched.subject.start()
        except (LocalStackError, OSError) as problem:
            watched.restart_at = now + watched.backoff_s
            self._say(f"{watched.subject.name}: {problem}; next attempt in {watched.backoff_s:g} s")
            watched.backoff_s = min(watched.backoff_s * 2, self._backoff_max_s)
        else:
            self._say(f"{watched.subject.name} was started again")


def stop_programs(programs: Sequence[Program], grace_s: float, hurry: Callable[[], bool]) -> list[str]:
    """Ask all at once to end, and force those that still run after `grace_s` or when `hurry()`. Returns their names."""
    running = [program for program in programs if program.is_running()]
    for program in running:
        assert program.process is not None
        program.process.send_signal(signal.SIGTERM)
    wait_until(lambda: hurry() or not any(program.is_running() for program in running), grace_s)
    forced = [program for program in running if program.is_running()]
    for program in programs:
        if program.process is not None:
            stop(program.process)
    return [program.name for program in forced]
