"""The local stack: refuses in one line, restarts what dies, and leaves no process behind however it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from shared.embedded.process import is_alive, wait_until
from shared.embedded.servers import LocalServers

pytestmark = pytest.mark.faults

_PROJECT = Path(__file__).parents[3]
_START_TIMEOUT_S = 60


@dataclass
class Run:
    """One start of the stack's command in a folder, with pretended silos."""

    folder: Path
    process: subprocess.Popen[str]
    traces: Path
    address: dict[str, str] = field(default_factory=dict)

    def await_ready(self) -> "Run":
        """Wait until it has said where it is."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors()
        self.address = json.loads(line)["control"]
        return self

    def errors(self) -> str:
        """What it wrote to stderr until its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def pid_of(self, program: str) -> int:
        return int((self.traces / program).read_text())

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(_START_TIMEOUT_S)

    def left_behind(self) -> list[int]:
        """Processes of this run that live: by their environment, or by working in its folder."""
        mark = f"PRETEND_FOLDER={self.traces}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and is_alive(int(entry.name)):
                    works_here = (entry / "cwd").resolve().is_relative_to(self.folder)
                    if works_here or mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found


StartStack = Callable[..., Run]


@pytest.fixture
def start_stack(server_folder: Path, tmp_path: Path) -> Iterator[StartStack]:
    """Start the command; keyword arguments are added to the environment."""
    runs: list[Run] = []
    folder = server_folder / tmp_path.name

    def start(*arguments: str, ports_from: int = 0, **environment: str) -> Run:
        traces = tmp_path / f"run{len(runs)}"
        traces.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SILOWAY_")}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.embedded.run_stack", "--json"),
                *("--folder", str(folder), "--ports-from", str(ports_from), *arguments),
            ],
            env=kept | {"PRETEND_FOLDER": str(traces), "SILOWAY_GRACE_S": "1"} | environment,
            cwd=_PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        runs.append(Run(folder, process, traces))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.communicate()
    assert wait_until(lambda: not any(run.left_behind() for run in runs), 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_silos_first_and_leaves_no_process(start_stack: StartStack, number: signal.Signals) -> None:
    run = start_stack().await_ready()
    described = json.loads((run.folder / "stack.json").read_text())
    assert described["control"] == run.address
    assert list(described["regions"]) == ["us", "de"]
    assert Path(described["token_file"]).read_text() == "pretend-token\n"
    assert len(run.left_behind()) >= 9  # the stack, six programs, PostgreSQL, Redis
    assert run.end(number) == 0
    assert run.errors() == ""
    assert run.left_behind() == []
    # Each program found its database alive at its own end.
    ended = sorted(file.name for file in run.traces.glob("*.ended"))
    assert ended == sorted(f"{silo}-{verb}.ended" for silo in ("control", "us", "de") for verb in ("serve", "work"))
    assert not (run.folder / "stack.json").exists()


def test_a_second_start_takes_less_than_five_seconds(start_stack: StartStack) -> None:
    assert start_stack().await_ready().end(signal.SIGINT) == 0
    took_s: list[float] = []
    # The best of three, so that other work on the machine does not decide.
    while not took_s or (min(took_s) >= 5 and len(took_s) < 3):
        began_at = time.monotonic()
        run = start_stack().await_ready()
        took_s.append(time.monotonic() - began_at)
        assert run.end(signal.SIGINT) == 0
    assert min(took_s) < 5


def test_a_second_stack_on_one_folder_ends_with_one_line(start_stack: StartStack) -> None:
    first = start_stack().await_ready()
    second = start_stack()
    assert second.process.wait(_START_TIMEOUT_S) == 1
    message = second.errors()
    assert message.count("\n") == 1
    assert f"another local stack (process {first.process.pid}) already works on" in message
    assert (first.folder / "stack.json").exists()
    assert first.end(signal.SIGINT) == 0


def test_a_taken_port_ends_with_one_line_before_anything_starts(start_stack: StartStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        run = start_stack(SILOWAY_REGION_DE_INTERNAL_ADDRESS=f"127.0.0.1:{port}")
        assert run.process.wait(_START_TIMEOUT_S) == 1
    message = run.errors()
    assert message.count("\n") == 1
    assert f"port {port} on 127.0.0.1 (de, internal) is not free" in message
    assert not (run.folder / "servers").exists()


def test_a_migration_that_fails_ends_with_one_line_and_nothing_left(start_stack: StartStack) -> None:
    run = start_stack(PRETEND_MIGRATE_FAILS="us")
    assert run.process.wait(_START_TIMEOUT_S) == 1
    message = run.errors()
    assert message.count("\n") == 1
    assert "migrating us failed" in message
    assert run.left_behind() == []


def test_a_wrong_option_ends_with_one_line(start_stack: StartStack) -> None:
    run = start_stack("--regions", "us=1,de=1")
    assert run.process.wait(_START_TIMEOUT_S) == 2
    assert run.errors() == "siloway: regions: 'de=1' repeats a name or a number\n"


def test_a_silo_that_died_is_started_again_and_the_stack_says_so(start_stack: StartStack) -> None:
    run = start_stack().await_ready()
    died = run.pid_of("us-work")
    os.kill(died, signal.SIGKILL)
    assert run.process.stderr is not None
    ended = run.process.stderr.readline()
    assert ended.startswith("us work ended (by SIGKILL, log: ")
    assert ended.endswith("it starts again in 0.5 s\n")
    assert run.process.stderr.readline() == "us work was started again\n"
    assert wait_until(lambda: run.pid_of("us-work") != died, 20)
    assert is_alive(run.pid_of("us-work"))
    assert run.end(signal.SIGTERM) == 0
    assert run.left_behind() == []


def test_a_database_server_that_died_comes_back_where_it_was(start_stack: StartStack) -> None:
    run = start_stack().await_ready()
    url = (run.traces / "us-migrate").read_text()
    os.kill(int((run.folder / "servers/postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    assert run.process.stderr is not None
    assert run.process.stderr.readline().startswith("PostgreSQL ended")
    assert run.process.stderr.readline() == "PostgreSQL was started again\n"
    with psycopg.connect(url, connect_timeout=5) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("siloway_region_us",)
    assert run.end(signal.SIGTERM) == 0


def test_a_killed_stack_takes_everything_along_and_starts_again(start_stack: StartStack) -> None:
    run = start_stack().await_ready()
    assert run.end(signal.SIGKILL) == -signal.SIGKILL
    assert wait_until(lambda: run.left_behind() == [], 20)
    assert start_stack().await_ready().end(signal.SIGINT) == 0


def test_a_program_deaf_to_the_request_is_killed_after_the_second_one(start_stack: StartStack) -> None:
    run = start_stack(PRETEND_DEAF="de-serve", SILOWAY_GRACE_S="600").await_ready()
    assert wait_until((run.traces / "de-serve").exists, 10)
    run.process.send_signal(signal.SIGINT)
    others = ("control-serve", "control-work", "us-serve", "us-work", "de-work")
    assert wait_until(lambda: not any(is_alive(run.pid_of(program)) for program in others), 20)
    assert is_alive(run.pid_of("de-serve"))
    assert run.end(signal.SIGINT) == 0
    assert run.errors() == "killed, because they did not end in time: de serve\n"
    assert run.left_behind() == []


def test_own_servers_by_url_are_used_and_left_running(start_stack: StartStack, server_folder: Path) -> None:
    own = LocalServers.start(server_folder / "own", durable=False)
    try:
        urls = {}
        for silo in ("CONTROL", "REGION_US", "REGION_DE"):
            own.postgres.create_database(f"own_{silo.lower()}")
            urls[f"SILOWAY_{silo}_DATABASE_URL"] = own.postgres.url(f"own_{silo.lower()}")
        run = start_stack(SILOWAY_REDIS_URL=own.redis.url, **urls).await_ready()
        assert not (run.folder / "servers").exists()
        assert (run.traces / "de-migrate").read_text() == urls["SILOWAY_REGION_DE_DATABASE_URL"]
        environment = json.loads((run.folder / "environment.json").read_text())
        assert environment["us"]["SILOWAY_REDIS_URL"] == own.redis.url
        assert (run.folder / "environment.json").stat().st_mode & 0o077 == 0
        assert run.end(signal.SIGINT) == 0
        with psycopg.connect(urls["SILOWAY_CONTROL_DATABASE_URL"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        own.stop()


def test_a_stop_during_the_start_is_obeyed(start_stack: StartStack) -> None:
    run = start_stack()
    assert wait_until((run.folder / "servers/postgres/data/postmaster.pid").exists, _START_TIMEOUT_S)
    assert run.end(signal.SIGINT) == 0
    assert run.left_behind() == []
