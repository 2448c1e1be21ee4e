"""One PostgreSQL server in a folder of its own: made once, started and stopped by its binaries alone.

Layout: `data/` (the cluster), `password`, `socket/`. A cluster is complete or absent: initdb works beside it and its
result is renamed. A server that an earlier process left behind is stopped first, and the lock files of a dead one are
removed: the caller holds the folder's lock, so nobody else can be the rightful owner of either.
"""

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from shared.embedded.account import RunAs, choose_account, hand_over
from shared.embedded.binaries import PostgresBinaries, find_postgres
from shared.embedded.failures import FolderUnreachable, StartFailed
from shared.embedded.folder import free_ports, make_folder
from shared.embedded.process import is_alive, log_tail, rotate_log, spawn, stop, wait_until

if TYPE_CHECKING:
    from shared.embedded.databases import DatabaseServer

USER = "siloway"
START_TIMEOUT_S = 60.0
_STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))
_START_ATTEMPTS = 5
_RETRY_AFTER_S = 0.5
# sun_path has 108 bytes, and the socket's file name up to 19 of them.
_SOCKET_FOLDER_BYTES_MAX = 85
_READY_LINE = 7
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_messages": "warning",
}
# What only a test may want: a crash of the machine (not of the server) loses data, and nothing runs unasked.
# Copying a database walks all buffers, so few of them halve what that costs.
_FAST_SETTINGS = {
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "jit": "off",
}


class PostgresServer:
    """A running server. `start` and `kill` may follow each other; the port stays the same."""

    def __init__(
        self, folder: Path, *, binaries_folder: Path | None = None, durable: bool = True, log_file: Path | None = None
    ) -> None:
        """Makes the cluster when there is none; `start` runs it. Raises LocalStackError."""
        self.folder = make_folder(folder.resolve())
        self.log_file = log_file or self.folder / "postgres.log"
        self.data = self.folder / "data"
        self._durable = durable
        self._binaries = find_postgres(binaries_folder, data_major=_data_major(self.data))
        self._run_as = _choose_account(self._binaries, self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_ports(1)[0]
        self.socket_dir = _socket_place(self.folder, self._run_as)
        self._password = self._make_cluster()

    @cached_property
    def databases(self) -> "DatabaseServer":
        """What makes and drops its databases."""
        from shared.embedded.databases import DatabaseServer  # noqa: PLC0415 - psycopg; `_try_start` says when

        return DatabaseServer(self.url("postgres"))

    @property
    def pid(self) -> int | None:
        """The postmaster's, None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> None:
        self.databases.create_database(name, template)

    def drop_database(self, name: str) -> None:
        self.databases.drop_database(name)

    def start(self) -> None:
        """Returns when the server accepts connections. Raises StartFailed."""
        rotate_log(self.log_file)
        _make_socket_folder(self.socket_dir, self._run_as)
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._recover()
            problem = self._try_start()
            if problem is None:
                return
            # Sessions of a killed server hold its memory until they notice, and somebody may have taken the port.
            last = attempt == _START_ATTEMPTS
            if last or not ("shared memory" in problem or "Address already in use" in problem):
                raise StartFailed(f"PostgreSQL did not start: {problem} (log: {self.log_file})")
            time.sleep(_RETRY_AFTER_S)

    def stop(self) -> None:
        """End all sessions, write everything down, and go; by force when that takes too long. May be called again."""
        if self._process is not None:
            stop(self._process, *_STOP_STEPS)
            self._process = None
        if not self.socket_dir.is_relative_to(self.folder):
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _make_cluster(self) -> str:
        password_file = self.folder / "password"
        if self.data.exists():
            hand_over(self.data, self._run_as)
            return password_file.read_text().strip()
        password = secrets.token_urlsafe(24)
        _write_secret(password_file, password)
        workshop = self.folder / "data.new"
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir(mode=0o700)
        handed_file = workshop / "password"
        _write_secret(handed_file, password)
        cluster = workshop / "cluster"
        hand_over(workshop, self._run_as)
        command: list[str | Path] = [self._binaries.initdb, "-D", cluster, "-U", USER, f"--pwfile={handed_file}"]
        command += ["--encoding=UTF8", "--locale=C", "--auth-local=scram-sha-256", "--auth-host=scram-sha-256"]
        command += ["--no-instructions", *([] if self._durable else ["--no-sync"])]
        process = spawn(
            command, death_signal=signal.SIGKILL, log_file=self.log_file, run_as=self._run_as, folder=Path("/")
        )
        try:
            code = process.wait(timeout=START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            stop(process)
            raise StartFailed(f"initdb did not end within {START_TIMEOUT_S:.0f} s (log: {self.log_file})") from None
        if code != 0:
            raise StartFailed(f"initdb failed: {log_tail(self.log_file)} (log: {self.log_file})")
        cluster.rename(self.data)
        shutil.rmtree(workshop)
        return password

    def _try_start(self) -> str | None:
        """None when the server is ready, else what its log says."""
        settings = _SETTINGS | ({} if self._durable else _FAST_SETTINGS)
        settings |= {"port": str(self.port), "unix_socket_directories": str(self.socket_dir)}
        command: list[str | Path] = [self._binaries.postgres, "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        process = spawn(
            command, death_signal=signal.SIGINT, log_file=self.log_file, run_as=self._run_as, folder=self.data
        )
        self._process = process
        # The driver takes as long to load as the server to start: both at once.
        _ = self.databases
        wait_until(lambda: process.poll() is not None or self._is_ready(process.pid), START_TIMEOUT_S)
        if process.poll() is None and self._is_ready(process.pid):
            return None
        stop(process, *_STOP_STEPS)
        self._process = None
        return log_tail(self.log_file) or f"not ready within {START_TIMEOUT_S:.0f} s"

    def _is_ready(self, pid: int) -> bool:
        lines = _pid_file_lines(self.data)
        return len(lines) > _READY_LINE and lines[0].strip() == str(pid) and lines[_READY_LINE].strip() == "ready"

    def _recover(self) -> None:
        lines = _pid_file_lines(self.data)
        if lines and lines[0].strip().isdigit():
            pid = int(lines[0])
            for number, grace_s in (*_STOP_STEPS, (signal.SIGKILL, 5.0)):
                if not _is_postmaster_of(pid, self.data):
                    break
                os.kill(pid, number)
                wait_until(lambda: not _is_postmaster_of(pid, self.data), grace_s)
            else:
                raise StartFailed(f"an earlier PostgreSQL (process {pid}) on {self.data} does not end")
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for left in self.socket_dir.glob(".s.PGSQL.*"):
            left.unlink()


def _choose_account(binaries: PostgresBinaries, folder: Path) -> RunAs:
    try:
        return choose_account([binaries.postgres, binaries.initdb, folder])
    except OSError as problem:
        raise FolderUnreachable(f"{folder} cannot be used: {problem.strerror}") from None


def _data_major(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
    except (PermissionError, ValueError):
        raise FolderUnreachable(f"{data} is no PostgreSQL data of this user's: run as the user that made it") from None


def _pid_file_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _is_postmaster_of(pid: int, data: Path) -> bool:
    """A postmaster works in its data folder; any other process that has got the number meanwhile does not."""
    if not is_alive(pid):
        return False
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
    except FileNotFoundError:
        return False
    except PermissionError:
        # Another user's process: it cannot be a server of ours, which runs as this user or is open to root.
        return False


def _socket_place(folder: Path, run_as: RunAs) -> Path:
    place = folder / "socket"
    if len(os.fsencode(place)) <= _SOCKET_FOLDER_BYTES_MAX:
        return place
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"siloway-{run_as.owner[0]}-{mark}"  # noqa: S108 - ownership is checked when it is made


def _make_socket_folder(place: Path, run_as: RunAs) -> None:
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        if place.is_symlink() or not place.is_dir() or place.stat().st_uid not in (os.geteuid(), run_as.owner[0]):
            raise FolderUnreachable(f"{place} belongs to somebody else: PostgreSQL's socket cannot be there") from None
    hand_over(place, run_as)


def _write_secret(file: Path, secret: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secret + "\n")
