"""Runs of the `siloway` command in processes that are forked from one which has loaded it.

Each is a process of its own with streams, folder, environment and exit code as the script would have them; it only
does without the half second of loading. The README's lines run the script itself.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["siloway_client.__main__", __name__])


class ForkedRun:
    """One run that goes on beside the test; `end` must be called."""

    def __init__(
        self, program: Path, arguments: tuple[str, ...], *, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._command = [str(program), *arguments]
        self._told = tempfile.TemporaryDirectory(prefix="siloway-run-")
        self._streams = (Path(self._told.name) / "stdout", Path(self._told.name) / "stderr")
        self._child = _FORKING.Process(target=_become, args=(self._command, folder, dict(environment), self._streams))
        self._child.start()

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()

    def end(self, timeout_s: float) -> "subprocess.CompletedProcess[str]":
        """Wait for its end; what it has answered. Raises subprocess.TimeoutExpired."""
        with self._told:
            try:
                self._child.join(timeout_s)
                if self._child.exitcode is None:
                    raise subprocess.TimeoutExpired(self._command, timeout_s)
            finally:
                self._child.kill()
                self._child.join()
            streams = (stream.read_text() if stream.exists() else "" for stream in self._streams)
            return subprocess.CompletedProcess(self._command, self._child.exitcode or 0, *streams)


def run_forked(
    program: Path, arguments: tuple[str, ...], *, folder: Path, environment: Mapping[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """What `program` with these arguments would have answered. Raises subprocess.TimeoutExpired."""
    return ForkedRun(program, arguments, folder=folder, environment=environment).end(timeout_s)


def _become(command: list[str], folder: Path, environment: dict[str, str], streams: tuple[Path, Path]) -> None:
    for number, stream in enumerate(streams, start=1):
        opened = os.open(stream, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    from siloway_client.entry import main

    main()
