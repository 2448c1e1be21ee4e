"""Verifies imports: each row of the file that the ledger knows is compared with the row that stands for it.

The region's rows are read here, control's come over the internal door, both page by page: memory holds a page, and no
transaction is open while control is asked or the client is written to. What is found is of the time at which it was
read; a row that is changed meanwhile may be told or not.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from region_silo.exports.readings import READINGS
from region_silo.imports.domain import DataImport, State
from region_silo.imports.reports import visible
from region_silo.verification import store
from region_silo.verification.domain import ROW_GONE, Difference, FileRow, Verification, compare, file_row
from shared import errors
from shared.database import Database, Transaction
from shared.exporting.imported import ImportedRow, imported_rows, select_imported
from shared.importing.decisions import Decision
from shared.importing.index import NO_MODEL
from shared.importing.registry import Silo, models, why_skipped
from shared.importing.spool import Spool
from shared.importing.upload import UploadedFile
from shared.places import Places
from shared.rpc.call import current_caller, is_stopping

_VERIFIERS_MAX = 2
_AGAIN_S = 10.0
_HEARTBEAT_S = 5.0
_PAGE_ROWS = 500
_PAGE_BYTES = 8 << 20


class ControlPeer(Protocol):
    """What a verification asks of control."""

    def imported_rows(self, import_id: int, principal: str, model: str) -> Iterator[ImportedRow]:
        """The rows of one of control's models that an import wrote or met, as they stand, by their pk in the file.

        Raises PeerUnavailable and the like when control cannot be reached, ScopeMissing for good.
        """
        ...


@dataclass(frozen=True)
class VerificationUseCases:
    """All of them, for one region. Few may verify in one process at a time, for each reads a whole import."""

    database: Database
    spool: Spool
    control: ControlPeer
    heartbeat_s: float = _HEARTBEAT_S
    places: Places = field(
        default_factory=lambda: Places(_VERIFIERS_MAX, doing="imports are verified", again_s=_AGAIN_S)
    )

    def verify(
        self, import_id: int, is_wanted: Callable[[], bool] = lambda: True
    ) -> Generator[Difference | Verification, None, None]:
        """Each difference, now and then how far it is, and at the end the result, which alone counts what was left out.

        Raises ImportNotFound, WrongImportState (it has not succeeded), SpoolMissing (its file is gone),
        ResourceExhausted when all places are taken, Stopping, what asking control raises.
        """
        caller = current_caller()
        found = self.database.read(lambda transaction: visible(transaction, import_id, caller))
        if found.state is not State.SUCCEEDED:
            raise errors.WrongImportState(
                f"{found.name} is {found.state.name}; only an import that succeeded can be verified.",
                metadata={"state": found.state.name},
            )
        if not self.spool.holds(found.file_id):
            raise errors.SpoolMissing("The uploaded file is gone: it is kept for a time only.")
        with self.places.taken(), UploadedFile(self.spool, found.file_id, found.size_bytes) as file:
            yield from self._compare_all(found, file, is_wanted)

    def _compare_all(
        self, data_import: DataImport, file: UploadedFile, is_wanted: Callable[[], bool]
    ) -> Iterator[Difference | Verification]:
        result = Verification()
        told_at = time.monotonic()
        for each in data_import.models:
            if each.model == NO_MODEL or why_skipped(each.model, data_import.scope.takes) is not None:
                continue
            for page in self._pages(data_import, each.model):
                yield from self._compare_page(data_import, file, each.model, page, result)
                if is_stopping():
                    raise errors.Stopping
                if not is_wanted():
                    return
                if time.monotonic() - told_at >= self.heartbeat_s:
                    told_at = time.monotonic()
                    yield replace(result, explanations={})
        result.left_out = data_import.object_count - result.compared - result.merged
        result.done = True
        yield result

    def _pages(self, data_import: DataImport, model: str) -> Iterator[Sequence[ImportedRow]]:
        if models()[model].silo is Silo.REGION:
            yield from imported_rows(self.database, select_imported(READINGS[model]), data_import.id)
            return
        rows = self.control.imported_rows(data_import.id, data_import.principal, model)
        while page := list(_within(islice(rows, _PAGE_ROWS))):
            yield page

    def _compare_page(
        self,
        data_import: DataImport,
        file: UploadedFile,
        model: str,
        page: Sequence[ImportedRow],
        result: Verification,
    ) -> Iterator[Difference]:
        for row in page:
            if row.decision == Decision.MERGE:
                result.merged += 1
            else:
                result.compared += 1
            if not row.stands:
                result.differences += 1
                yield Difference(ROW_GONE, model, row.ordinal, row.old_pk, row.new_pk, "the row is not there any more")
        rows = {row.ordinal: row for row in page if row.fields}
        filed = {ordinal: file_row(model, data) for ordinal, data in _read(file, model, sorted(rows))}
        new_pks, told = self.database.read(
            lambda transaction: self._known(transaction, data_import.id, model, filed),
        )
        for ordinal, row in rows.items():
            compared = compare(
                model,
                data_import.terms,
                filed[ordinal],
                row.fields,
                new_pks=new_pks,
                findings=told.get(ordinal, ()),
            )
            result.explain(model, compared.explained)
            result.differences += len(compared.differences)
            for kind, reason in compared.differences:
                yield Difference(kind, model, ordinal, row.old_pk, row.new_pk, reason)

    def _known(
        self, transaction: Transaction, import_id: int, model: str, filed: dict[int, FileRow]
    ) -> tuple[dict[tuple[str, int], int], dict[int, list[tuple[str, str]]]]:
        wanted: dict[str, set[int]] = {}
        for row in filed.values():
            for target, pk in row.references(model):
                wanted.setdefault(target, set()).add(pk)
        return store.new_pks(transaction, import_id, wanted), store.warnings(transaction, import_id, model, filed)


def _within(rows: Iterator[ImportedRow]) -> Iterator[ImportedRow]:
    """Rows until they are many bytes; at least one."""
    left = _PAGE_BYTES
    for row in rows:
        yield row
        left -= len(row.fields)
        if left < 0:
            return


def _read(file: UploadedFile, model: str, ordinals: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The objects at these ordinals (ascending), each run of neighbours at once."""
    start = 0
    for place in range(1, len(ordinals) + 1):
        if place < len(ordinals) and ordinals[place] == ordinals[place - 1] + 1:
            continue
        for run in file.rows(model, ordinals[start], ordinals[place - 1] - ordinals[start] + 1):
            yield from ((row.ordinal, row.data) for row in run)
        start = place
