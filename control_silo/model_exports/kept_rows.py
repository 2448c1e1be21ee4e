"""Where control's rows wait between being read and being sent: a file of a bounded size that has no name.

A file without a name goes with whoever has it open, so nothing stays behind however a call or the process ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Self

from control_silo.model_exports.domain import Keeping
from shared.errors import ExportTooLarge, ResourceExhausted, SpoolFull
from shared.exporting.handover import HandedRow
from shared.exporting.row_lines import BUFFER_BYTES, RowLines, rows_of
from shared.importing.spool import room_told, write_all

_NO_ROOM_AGAIN_S = 60.0


class KeptRows:
    """Rows in their order, first added, then read once; gone with the context."""

    def __init__(self, keeping: Keeping) -> None:
        self._bytes_max = keeping.bytes_max
        with _room_told():
            self._file = TemporaryFile(buffering=0, dir=keeping.folder)  # noqa: SIM115 - open as long as this context
        self._lines = RowLines(self._write)
        self._length = 0

    def add(self, row: HandedRow) -> None:
        """Append a row. Raises ExportTooLarge, ResourceExhausted when the disk is full."""
        self._lines.add(row)

    def rows(self) -> Iterator[HandedRow]:
        """What was added. Raises as `add`."""
        self._lines.flush()
        self._file.seek(0)
        with open(self._file.fileno(), "rb", buffering=BUFFER_BYTES, closefd=False) as lines:
            yield from rows_of(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._bytes_max:
            raise ExportTooLarge(metadata={"maximum": str(self._bytes_max)})
        with _room_told():
            write_all(self._file.fileno(), piece)


@contextmanager
def _room_told() -> Iterator[None]:
    """A full disk is not the region's spool: for the region it is one of the limits that pass."""
    try:
        with room_told():
            yield
    except SpoolFull as error:
        raise ResourceExhausted("control's disk has no room", retry_after_s=_NO_ROOM_AGAIN_S) from error
