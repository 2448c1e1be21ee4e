"""`python -m shared.exports.comparison_process LEFT RIGHT FOLDER FINDINGS_MAX WHAT`: compares two files for a silo.

A program of its own, so that the calls of the process that starts it wait for none of its work. What it finds goes to
standard output (shared.exports.comparison_lines); FOLDER, which is the starter's to remove, gets what grows with the
files; WHAT is "values", or "names" of fields alone. It may be killed at any time, and ends by itself soon after nobody
reads it any more.
"""

import errno
import os
import signal
import sys
import time
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from shared.errors import SpoolMissing
from shared.exports.comparing import Comparison
from shared.exports.comparison_findings import ComparisonFinding
from shared.exports.comparison_lines import (
    GONE,
    NO_ROOM,
    UNREADABLE,
    Compared,
    FindingLine,
    Line,
    ModelLine,
    OrganizationLine,
    Progress,
    Refused,
)
from shared.exports.errors import ExportFileError

_PROGRESS_S = 1.0
_LOOK_EVERY_ROWS = 256
_REASON_MAX = 16_000
_NICENESS = 10
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Telling:
    """Writes lines; what was told stays in a buffer for a second at most while rows are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._told_at = time.monotonic()
        self.rows_read = 0

    def tell(self, line: Line) -> None:
        """Write one line."""
        self._file.write(msgspec.json.encode(line) + b"\n")

    def tick(self) -> None:
        """A row was read."""
        self.rows_read += 1
        if self.rows_read % _LOOK_EVERY_ROWS == 0 and time.monotonic() - self._told_at >= _PROGRESS_S:
            self.tell(Progress(self.rows_read))
            self._file.flush()
            self._told_at = time.monotonic()


def compare(comparison: Comparison, findings_max: int, telling: Telling) -> Compared:
    """Tell everything but the end, which is returned."""
    mismatches = comparison.mismatches()
    count = _tell_findings(islice(mismatches, findings_max), telling)
    is_cut = next(mismatches, None) is not None
    for model in comparison.models():
        digests = _hex(model.left_digest), _hex(model.right_digest)
        telling.tell(ModelLine(model.model, model.left_rows, model.right_rows, *digests))
    for each in comparison.organizations():
        digests = _hex(each.left_digest), _hex(each.right_digest)
        telling.tell(OrganizationLine(each.left_pk, each.right_pk, *digests))
    matched = count == 0
    if matched:
        differences = comparison.differences()
        count = _tell_findings(islice(differences, findings_max), telling)
        is_cut = next(differences, None) is not None
    return Compared(count, is_cut, matched, telling.rows_read)


def main(arguments: list[str], file: BinaryIO) -> int:
    """Compare, and tell how it ended. Returns the exit code."""
    telling = Telling(file)
    try:
        os.nice(_NICENESS)
        telling.tell(_outcome(arguments, telling))
        file.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # what is left in the buffer goes nowhere
        return 1
    return 0


def _outcome(arguments: list[str], telling: Telling) -> Line:
    left, right, folder, findings_max, what = arguments
    try:
        with Comparison(
            Path(left), Path(right), folder=Path(folder), shows_values=what == "values", tick=telling.tick
        ) as comparison:
            return compare(comparison, int(findings_max), telling)
    except ExportFileError as error:
        return Refused(UNREADABLE, str(error)[:_REASON_MAX])
    except (FileNotFoundError, SpoolMissing):
        return Refused(GONE, "a file was removed meanwhile")
    except OSError as error:
        if error.errno in _NO_ROOM:
            return Refused(NO_ROOM, "no room is left on the disk")
        raise


def _tell_findings(findings: "islice[ComparisonFinding]", telling: Telling) -> int:
    count = 0
    for each in findings:
        count += 1
        reason = each.reason if len(each.reason) <= _REASON_MAX else f"{each.reason[: _REASON_MAX - 1]}…"
        telling.tell(FindingLine(each.kind, each.model, each.ordinal, each.left_pk, each.right_pk, reason))
    return count


def _hex(digest: bytes | None) -> str:
    return "" if digest is None else digest.hex()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the whole group is the starter's to deal with
    sys.exit(main(sys.argv[1:], sys.stdout.buffer))
