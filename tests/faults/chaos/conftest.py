"""A whole stack with a second `work` program in each silo, so that leases pass from one to the other."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.database import Database
from shared.embedded.folder import free_ports
from shared.embedded.process import spawn
from tests.stack import ROOT, STOP_TIMEOUT_S, RunningStack, plain_environment

SILOS = ("control", "us", "de")


@pytest.fixture
def stack(server_folder: Path) -> Iterator[RunningStack]:
    running = RunningStack(server_folder / "chaos")
    twins: list[subprocess.Popen[bytes]] = []
    try:
        twins.extend(_start_work(running, silo, port) for silo, port in zip(SILOS, free_ports(3), strict=True))
        yield running
        assert [twin.poll() for twin in twins] == [None] * 3, "a second `work` program ended"
    finally:
        for twin in twins:
            twin.terminate()
        codes = [twin.wait(STOP_TIMEOUT_S) for twin in twins]
        code = running.stop()
    assert (code, codes) == (0, [0] * 3), running.notices


@pytest.fixture
def databases(stack: RunningStack) -> Iterator[tuple[Database, dict[str, Database]]]:
    """Control's and the regions'."""
    clock = SystemClock()
    opened = {silo: Database.open(stack.database_url(silo), clock=clock, pool_size=1) for silo in SILOS}
    yield opened["control"], {name: opened[name] for name in SILOS[1:]}
    for database in opened.values():
        database.close()


def _start_work(stack: RunningStack, silo: str, port: int) -> "subprocess.Popen[bytes]":
    program = ("control_silo",) if silo == "control" else ("region_silo", "--region", silo)
    prefix = "SILOWAY_CONTROL" if silo == "control" else f"SILOWAY_REGION_{silo.upper()}"
    return spawn(
        [sys.executable, "-m", *program, "work"],
        death_signal=signal.SIGKILL,
        log_file=stack.folder / f"logs/{silo}-work-2.log",
        folder=ROOT,
        environment={
            **plain_environment(),
            **stack.environment(silo),
            f"{prefix}_WORK_ADMIN_ADDRESS": f"127.0.0.1:{port}",
            "SILOWAY_GRACE_S": "3",
        },
    )
