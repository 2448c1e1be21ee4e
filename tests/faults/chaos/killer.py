"""Kills the processes of a stack in turn, each once the former one is back and work has gone on meanwhile; then makes
the silos' programs stand still in turn, some for longer than a delivery may take, so that they act late.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from shared.embedded.stack import is_ready
from tests.faults.chaos.world import World
from tests.stack import RunningStack, wait_until

BACK_TIMEOUT_S = 90.0
CHANGES_BETWEEN = 20
"""Answered changes after a process is back and before the next one is killed."""


@dataclass(frozen=True)
class Victim:
    """A kind of process: how to find it, and how to know that it serves."""

    name: str
    pids: Callable[[], list[int]]
    serves: Callable[[int], bool]


class Killer(threading.Thread):
    """Kills each victim `rounds` times and halts each program `halts` times, in an order of the seed; `done` is set
    then. `killed` and `halted` say who, and after how many seconds it was back.
    """

    def __init__(
        self, stack: RunningStack, world: World, seed: int, *, rounds: int, halts: int, halt_max_s: float
    ) -> None:
        super().__init__(name="killer", daemon=True)
        self._stack = stack
        self._world = world
        self._chance = random.Random(f"{seed}/killer")
        self._rounds = rounds
        self._halts = halts
        self._halt_max_s = halt_max_s
        self._never = threading.Event()
        self.done = threading.Event()
        self.killed: list[tuple[str, float]] = []
        self.halted: list[tuple[str, float]] = []

    def run(self) -> None:
        try:
            programs, servers = programs_of(self._stack), servers_of(self._stack)
            for victim in self._in_turn([*programs, *servers], self._rounds):
                self._kill(victim)
            for victim in self._in_turn(programs, self._halts):
                self._halt(victim)
        except Exception as error:  # noqa: BLE001 - whatever ends the killer ends the test
            self._world.complain(f"killing broke: {error!r}; {self._stack.notices[-5:]}")
        finally:
            self.done.set()

    def _in_turn(self, victims: list[Victim], rounds: int) -> Iterator[Victim]:
        for _ in range(rounds):
            for victim in self._chance.sample(victims, len(victims)):
                self._let_work_go_on()
                if self._world.wrong:
                    return
                yield victim

    def _let_work_go_on(self) -> None:
        wanted = self._world.count() + CHANGES_BETWEEN
        wait_until(
            lambda: bool(self._world.wrong) or self._world.count() >= wanted,
            f"no change is answered any more since {self.killed[-1:]}",
            timeout_s=BACK_TIMEOUT_S,
        )
        self._never.wait(self._chance.uniform(0, 0.3))  # at any place of what goes on

    def _kill(self, victim: Victim) -> None:
        before = set(victim.pids())
        assert before, f"{victim.name} does not run"
        began = time.monotonic()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: any(victim.serves(pid) for pid in victim.pids() if pid not in before),
            f"{victim.name} did not come back",
            timeout_s=BACK_TIMEOUT_S,
        )
        self.killed.append((victim.name, time.monotonic() - began))

    def _halt(self, victim: Victim) -> None:
        standing_s = self._chance.uniform(1, self._halt_max_s)
        pids = victim.pids()
        assert pids, f"{victim.name} does not run"
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self._never.wait(standing_s)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        self.halted.append((victim.name, standing_s))


def programs_of(stack: RunningStack) -> list[Victim]:
    """`serve` and `work` of each silo."""

    def program(silo: str, verb: str) -> Victim:
        described = stack.describe["control"] if silo == "control" else stack.describe["regions"][silo]
        address = described[f"{verb}_admin_address"]
        return Victim(f"{silo} {verb}", lambda: stack.pids(silo, verb), lambda pid: is_ready(address, pid))

    return [program(silo, verb) for silo in ("control", "us", "de") for verb in ("serve", "work")]


def servers_of(stack: RunningStack) -> list[Victim]:
    """PostgreSQL and Redis."""
    postgres = Victim("PostgreSQL", lambda: _postgres(stack), lambda _: _answers(stack))
    redis = Victim("Redis", lambda: _redis(stack), lambda _: True)
    return [postgres, redis]


def _postgres(stack: RunningStack) -> list[int]:
    try:
        return [stack.postgres_pid()]
    except (OSError, IndexError, ValueError):
        return []


def _redis(stack: RunningStack) -> list[int]:
    folder = str(stack.folder / "servers")
    return [pid for pid in stack.descendants() if f"{folder}/redis" in _working_folder(pid)]


def _working_folder(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def _answers(stack: RunningStack) -> bool:
    try:
        return bool(stack.value("control", "SELECT 1"))
    except psycopg.Error:
        return False
