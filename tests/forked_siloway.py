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


def run_forked(
    program: Path, arguments: tuple[str, ...], *, folder: Path, environment: Mapping[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """What `program` with these arguments would have answered. Raises subprocess.TimeoutExpired."""
    command = [str(program), *arguments]
    with tempfile.TemporaryDirectory(prefix="siloway-run-") as told:
        streams = (Path(told) / "stdout", Path(told) / "stderr")
        child = _FORKING.Process(target=_become, args=(command, folder, dict(environment), streams))
        child.start()
        try:
            child.join(timeout_s)
            if child.exitcode is None:
                raise subprocess.TimeoutExpired(command, timeout_s)
        finally:
            child.kill()
            child.join()
        return subprocess.CompletedProcess(command, child.exitcode, *(stream.read_text() for stream in streams))


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
