"""The files of exports in the spool's folder, beside those of imports and within the same limit.

Every file's name carries the token of the lease under which it was made, and only the token in the export's row tells
which file is its own: so a file of a process that lost its lease, or of half a build, is never offered.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.errors import SpoolMissing
from shared.exporting.handover import HandedRow
from shared.exporting.row_lines import BUFFER_BYTES, RowLines, rows_of
from shared.importing.spool import Spool, SpoolReader, SpoolWriter

_NAME = re.compile(r"([0-9]{1,20})\.([0-9a-f-]{36})\.(export|building|handed|handing)")


class ExportFile(NamedTuple):
    """A file that is there: whose, made under which lease, and what ("export" is a whole one)."""

    export_id: int
    token: str
    kind: str


class ExportFiles:
    """The files of exports; `spool` keeps the limit of the folder."""

    def __init__(self, folder: Path, spool: Spool) -> None:
        self._folder = folder
        self._spool = spool

    def build(self, export_id: int, token: str) -> SpoolWriter:
        """Begin the export's file; it is there when it is finished. Raises SpoolFull."""
        return self._writer(export_id, token, "building", "export")

    def take_over(self, export_id: int, token: str) -> "HandedRowsWriter":
        """Begin the file that keeps control's rows for a while. Raises SpoolFull."""
        return HandedRowsWriter(self._writer(export_id, token, "handing", "handed"))

    def handed_rows(self, export_id: int, token: str) -> Iterator[HandedRow]:
        """The rows that a finished HandedRowsWriter has kept, in their order."""
        with self._path(export_id, token, "handed").open("rb", buffering=BUFFER_BYTES) as file:
            yield from rows_of(file)

    def open(self, export_id: int, token: str, expected_length: int) -> SpoolReader:
        """Open the export's file; SpoolMissing when it is not there, not readable, or of another length."""
        metadata = {"export": str(export_id)}
        try:
            reader = SpoolReader(self._path(export_id, token, "export"))
        except OSError as error:
            raise SpoolMissing("The export's file cannot be opened on this machine.", metadata=metadata) from error
        if reader.length != expected_length:
            reader.close()
            raise SpoolMissing("The export's file has another length.", metadata=metadata)
        return reader

    def found(self) -> list[ExportFile]:
        """All files of exports that are there: a cleaner compares them with the database."""
        names = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(ExportFile(int(name[1]), name[2], name[3]) for name in names if name)

    def remove(self, file: ExportFile) -> None:
        """Delete a file; nothing to delete is well."""
        self._path(*file).unlink(missing_ok=True)

    def remove_of(self, export_id: int, token: str) -> None:
        """Delete all that was made under a lease."""
        for kind in ("export", "building", "handed", "handing"):
            self._path(export_id, token, kind).unlink(missing_ok=True)

    def remove_handed(self, export_id: int, token: str) -> None:
        """Delete the rows that were kept for the build."""
        self._path(export_id, token, "handed").unlink(missing_ok=True)

    def _writer(self, export_id: int, token: str, unfinished: str, finished: str) -> SpoolWriter:
        self._spool.check_room(1)
        part, final = self._path(export_id, token, unfinished), self._path(export_id, token, finished)
        return SpoolWriter(self._spool, part, final)

    def _path(self, export_id: int, token: str, kind: str) -> Path:
        name = f"{export_id}.{token}.{kind}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a file of an export: {name!r}")
        return self._folder / name


class HandedRowsWriter:
    """Keeps control's rows on disk until their turn comes; left as a context, what is unfinished is removed."""

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer
        self._lines = RowLines(writer.write)

    def add(self, row: HandedRow) -> None:
        """Append a row. Raises SpoolFull."""
        self._lines.add(row)

    def finish(self) -> None:
        """Bring the file to disk. Raises SpoolFull."""
        self._lines.flush()
        self._writer.finish()

    def __enter__(self) -> "HandedRowsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.abort()
