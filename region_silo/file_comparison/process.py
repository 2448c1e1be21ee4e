"""Runs a comparison in a process of its own, for as long as somebody wants it.

Comparing takes the interpreter for minutes: in this process, every call would wait for it. The process is killed when
the caller of `run` stops, whatever it is doing by then, and its folder goes with it.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

import structlog

from shared import errors
from shared.exports.comparison_lines import GONE, READ_LINE, UNREADABLE, Refused, Told

_MODULE = "shared.exports.comparison_process"
_READ_BYTES = 64 << 10

_log = structlog.get_logger("siloway.file_comparison")


def run(
    left: Path, right: Path, folder: Path, *, findings_max: int, shows_values: bool, look_s: float
) -> Generator[Told | None, None, None]:
    """What the comparison tells, line by line, and None when it has told nothing for `look_s`.

    Without `shows_values` fields that no comparator takes are only named. `folder` is empty, and may be removed when
    the iterator is closed. Raises FileNotComparable, SpoolMissing, SpoolFull, Internal.
    """
    names = folder / "left", folder / "right"  # what is told of a file names its side, not where it stands
    for name, path in zip(names, (left, right), strict=True):
        name.symlink_to(path.resolve())
    what = "values" if shows_values else "names"
    command = [sys.executable, "-m", _MODULE, *map(str, (*names, folder, findings_max, what))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            with contextlib.closing(_lines(process.stdout.fileno(), look_s)) as lines:
                for line in lines:
                    read = None if line is None else READ_LINE(line)
                    if isinstance(read, Refused):
                        raise _refusal(read)
                    yield read
            code = process.wait()
        finally:
            process.kill()
    if code:
        _log.error("file_comparison_failed", code=code)
        raise errors.Internal("the comparison ended before its end")


def _lines(descriptor: int, look_s: float) -> Generator[bytes | None, None, None]:
    left = b""
    with DefaultSelector() as selector:
        selector.register(descriptor, EVENT_READ)
        while True:
            if not selector.select(look_s):
                yield None
                continue
            part = os.read(descriptor, _READ_BYTES)
            if not part:
                return
            *whole, left = (left + part).split(b"\n")
            yield from whole


def _refusal(refused: Refused) -> errors.ServiceError:
    if refused.why == UNREADABLE:
        return errors.FileNotComparable(f"A file cannot be compared: {refused.reason}")
    if refused.why == GONE:
        return errors.SpoolMissing("A file was removed while it was to be compared.")
    return errors.SpoolFull("There is no room to compare these files.", retry_after_s=60)
