"""Compares two files that the region has, for a caller who may read both.

Who may is decided in one short transaction, which also notes it in the audit; after that the database is not needed.
Few are compared at one time, each in a process of its own: memory stays the same whatever the size of the files, and
what grows with them stands in the spool, within its limit, until the comparison ends.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from region_silo.exports import usecases as exports
from region_silo.exports.domain import DataExport
from region_silo.file_comparison.domain import ComparedFile, FileName, Kind, check_scopes, check_whole, may_see_values
from region_silo.file_comparison.process import run
from region_silo.imports import reports
from region_silo.imports.domain import DataImport, import_name
from shared import audit, errors
from shared.database import Database, Transaction
from shared.exporting.files import ExportFiles
from shared.exports.comparison_lines import Told
from shared.importing.spool import Spool
from shared.places import Places
from shared.rpc.call import Caller, current_caller, is_stopping

_COMPARERS_MAX = 2
_AGAIN_S = 10.0
_LOOK_S = 0.5
_ROW_BYTES = 160
"""What a row takes in the spool while it is compared, about."""


@dataclass(frozen=True)
class FileComparisonUseCases:
    """All of them, for one region."""

    database: Database
    spool: Spool
    exports: ExportFiles
    places: Places = field(
        default_factory=lambda: Places(_COMPARERS_MAX, doing="pairs of files are compared", again_s=_AGAIN_S)
    )

    def compare(
        self, left: FileName, right: FileName, findings_max: int, is_wanted: Callable[[], bool] = lambda: True
    ) -> Generator[Told, None, None]:
        """What shared.exports.comparison_lines has: findings, at most so many, digests, progress, and Compared at the
        end; it ends without that when it is not wanted any more.

        Raises ExportNotFound, ExportNotReady, ExportExpired, ImportNotFound, WrongImportState (its file has not come),
        PermissionDenied, ScopeMissing, SpoolMissing (the file is gone), SpoolFull, FileNotComparable,
        ResourceExhausted when all places are taken, Stopping, Internal.
        """
        caller = current_caller()
        found = self.database.transact(lambda transaction: self._admit(transaction, left, right, caller))
        files = [self._file(each) for each in found]
        wanted_bytes = _ROW_BYTES * sum(each.rows for each in files)
        with self.places.taken(), self.spool.workspace(wanted_bytes) as folder:
            lines = run(
                files[0].path,
                files[1].path,
                folder,
                findings_max=findings_max,
                shows_values=may_see_values((left, right), caller),
                look_s=_LOOK_S,
            )
            with closing(lines):
                yield from _while_wanted(lines, is_wanted)

    def _admit(
        self, transaction: Transaction, left: FileName, right: FileName, caller: Caller
    ) -> list[DataExport | DataImport]:
        found = [_found(transaction, name, caller) for name in (left, right)]
        organization_ids = {each.organization_id for each in found if isinstance(each, DataExport)}
        audit.record(
            transaction,
            action="files.compare",
            target=found[0].name,
            organization_id=organization_ids.pop() if len(organization_ids) == 1 else None,
            detail={"right": found[1].name},
        )
        return found

    def _file(self, found: DataExport | DataImport) -> ComparedFile:
        if isinstance(found, DataImport):
            reader = self.spool.open(found.file_id, found.size_bytes)
        else:
            assert found.file_token is not None, "it has a file"
            reader = self.exports.open(found.id, found.file_token, found.size_bytes)
        with reader:
            return ComparedFile(reader.path, found.object_count)


def _found(transaction: Transaction, name: FileName, caller: Caller) -> DataExport | DataImport:
    """What has the file, which is whole."""
    check_scopes(name, caller)
    if name.kind is Kind.EXPORT:
        export = exports.visible(transaction, name.id, caller)
        exports.check_file(export, transaction.now)
        return export
    if caller.organization_id is not None:
        raise errors.ImportNotFound(resource=errors.Resource("siloway/Import", import_name(name.id)))
    found = reports.visible(transaction, name.id, caller)
    check_whole(found)
    return found


def _while_wanted(lines: Iterator[Told | None], is_wanted: Callable[[], bool]) -> Iterator[Told]:
    looked_at = time.monotonic()
    for line in lines:
        if line is not None:
            yield line
        if line is None or time.monotonic() - looked_at >= _LOOK_S:
            looked_at = time.monotonic()
            if is_stopping():
                raise errors.Stopping
            if not is_wanted():
                return
