"""A whole local stack for tests: the same command that `make run` starts, on ports and in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from siloway_client.client import ControlClient, RegionClient
from tests.forked_siloway import ForkedRun, run_forked

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
TOKEN_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 90.0
ROOT = Path(__file__).resolve().parents[1]
SILOWAY = Path(sys.executable).with_name("siloway")


class RunningStack:
    """`python -m shared.embedded` as a child; `describe` is its stack.json."""

    def __init__(self, folder: Path, *, ports_from: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "shared.embedded", "--folder", str(folder), "--json"]
        self.process = subprocess.Popen(
            [*command, "--ports-from", str(ports_from)],
            cwd=ROOT,
            env={**plain_environment(), "SILOWAY_GRACE_S": "3", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.notices: list[str] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read_notices, daemon=True)
        self._reader.start()
        killer = threading.Timer(START_TIMEOUT_S, self.process.kill)
        killer.start()
        line = self.process.stdout.readline()
        killer.cancel()
        if not line:
            self.process.wait(10)
            self._reader.join(5)
            self.process.stdout.close()
            self.process.stderr.close()
            raise AssertionError(f"the stack did not start: {self.notices}")
        self.describe: dict[str, Any] = json.loads(line)
        try:
            self._await_token()
        except BaseException:
            self.process.kill()
            raise

    @property
    def token(self) -> str:
        return Path(self.describe["token_file"]).read_text().strip()

    def control(self, token: str | None = None) -> ControlClient:
        return ControlClient(self.describe["control"]["public_address"], token or self.token)

    def region(self, name: str, token: str | None = None) -> RegionClient:
        return RegionClient(self.describe["regions"][name]["public_address"], token or self.token)

    def environment(self, silo: str) -> dict[str, str]:
        """The settings that the silo's programs were given."""
        own: dict[str, str] = json.loads(Path(self.describe["environment_file"]).read_text())[silo]
        return own

    def database_url(self, silo: str) -> str:
        prefix = "SILOWAY_CONTROL" if silo == "control" else f"SILOWAY_REGION_{silo.upper()}"
        return self.environment(silo)[f"{prefix}_DATABASE_URL"]

    def query(self, silo: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows straight from a silo's database, in a transaction of its own; nothing for a statement without rows."""
        with psycopg.connect(self.database_url(silo)) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def value(self, silo: str, statement: str, *parameters: object) -> Any:
        """The one value of a query."""
        return self.query(silo, statement, *parameters)[0][0]

    def command(self, *arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `siloway` against this stack."""
        return run_siloway("--folder", str(folder or self.folder), *arguments)

    def begin_command(self, *arguments: str) -> ForkedRun:
        """Let `siloway` run against this stack beside the test."""
        return ForkedRun(
            SILOWAY, ("--folder", str(self.folder), *arguments), folder=ROOT, environment=plain_environment()
        )

    @contextmanager
    def restarts_held(self) -> Iterator[None]:
        """Inside the block nothing that dies is started again: the supervising process itself is stopped."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def postgres_pid(self) -> int:
        return int((self.folder / "servers/postgres/data/postmaster.pid").read_text().split()[0])

    def pids(self, silo: str, verb: str) -> list[int]:
        """Processes of this stack that run the silo's program."""
        module = "control_silo" if silo == "control" else f"region_silo\0--region\0{silo}"
        return [pid for pid in self.descendants() if f"-m\0{module}\0{verb}" in _command_line(pid)]

    def kill(self, silo: str, verb: str) -> None:
        for pid in self.pids(silo, verb):
            os.kill(pid, signal.SIGKILL)

    def descendants(self) -> list[int]:
        """All live processes below the stack's own."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                status = _status(int(entry.name))
                if status is not None and status[1] != "Z":
                    parents[int(entry.name)] = status[0]
        found: list[int] = []
        for pid in parents:
            above = pid
            while above in parents and above != self.process.pid:
                above = parents[above]
            if above == self.process.pid and pid != self.process.pid:
                found.append(pid)
        return found

    def stop(self) -> int:
        """Ctrl-C; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None and self.process.poll() is not None:
                    self._reader.join(5)
                    stream.close()
        return code

    def _await_token(self) -> None:
        """Control's first token reaches the regions a moment after everything is up."""
        regions = self.describe["regions"]
        try:
            wait_until(
                lambda: all(self.value(region, "SELECT count(*) FROM token") for region in regions),
                "the regions never heard of the token",
                timeout_s=TOKEN_TIMEOUT_S,
            )
        except AssertionError as problem:
            problem.add_note(f"{self.notices}\n{(self.folder / 'logs/control-work.log').read_text()[-2000:]}")
            raise

    def _read_notices(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.notices.append(line.rstrip())


def run_siloway(
    *arguments: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command in `folder`; nothing of this environment's SILOWAY_* reaches it."""
    return run_forked(
        SILOWAY,
        arguments,
        folder=folder,
        environment=plain_environment() | dict(environment or {}),
        timeout_s=COMMAND_TIMEOUT_S,
    )


def plain_environment() -> dict[str, str]:
    """This environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SILOWAY_")}


def wait_until(holds: Callable[[], bool], complaint: str, *, timeout_s: float = 30.0) -> None:
    """Poll until it holds; the bound is for when it never does."""
    ends_at = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends_at, complaint
        time.sleep(0.05)


def alive(pids: Iterable[int]) -> list[int]:
    """Those of the processes that run; a zombie does not."""
    return [pid for pid in pids if (status := _status(pid)) is not None and status[1] != "Z"]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _status(pid: int) -> tuple[int, str] | None:
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return int(parent), state
