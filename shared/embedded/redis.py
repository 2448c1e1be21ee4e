"""One Redis (or Valkey) server in a folder of its own, on loopback, with a password, without persistence.

Nothing that must survive stands in it: a start after a stop begins empty, on the same port.
"""

import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path

from shared.embedded.binaries import find_redis
from shared.embedded.failures import StartFailed
from shared.embedded.folder import free_ports, make_folder
from shared.embedded.process import log_tail, rotate_log, spawn, stop, wait_until

DATABASES = 16
START_TIMEOUT_S = 20.0
_STOP_STEPS = ((signal.SIGTERM, 5.0),)
_START_ATTEMPTS = 3


class RedisServer:
    """A server that may be stopped, killed and started again; `url` stays the same after the first start."""

    def __init__(self, folder: Path, *, program: Path | None = None, log_file: Path | None = None) -> None:
        self.folder = make_folder(folder.resolve())
        self.log_file = log_file or self.folder / "redis.log"
        self.port = free_ports(1)[0]
        self._program = find_redis(program)
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's, None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def url(self) -> str:
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The URL of one of the `DATABASES` numbered key spaces."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/{number}"

    def start(self) -> None:
        """Returns when the server answers. Raises StartFailed."""
        rotate_log(self.log_file)
        for attempt in range(1, _START_ATTEMPTS + 1):
            settings = self._write_settings()
            process = spawn(
                [self._program, settings], death_signal=signal.SIGKILL, log_file=self.log_file, folder=self.folder
            )
            self._process = process
            wait_until(lambda running=process: running.poll() is not None or self._answers(), START_TIMEOUT_S)  # type: ignore[misc]
            if process.poll() is None and self._answers():
                return
            self.stop()
            if attempt == _START_ATTEMPTS or "in use" not in log_tail(self.log_file):
                raise StartFailed(f"Redis did not start: {log_tail(self.log_file)} (log: {self.log_file})")

    def stop(self) -> None:
        """May be called again."""
        if self._process is not None:
            stop(self._process, *_STOP_STEPS)
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        # Two inline commands instead of the client library, which would take longer to import than the server to start.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                line.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                with line.makefile("rb") as answer:
                    return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
        except OSError:
            return False

    def _write_settings(self) -> Path:
        file = self.folder / "redis.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{self.folder}"',
            f"requirepass {self._password}",
            f"databases {DATABASES}",
            "appendonly no",
            'save ""',
            "daemonize no",
        ]
        # The password stands in a file and not in the arguments: those are everybody's to read.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write("\n".join(lines) + "\n")
        return file
