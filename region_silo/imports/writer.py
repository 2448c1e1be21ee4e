"""Writes an uploaded file batch by batch, models in dependency order, each batch with its chunk in one transaction.

A chunk that stands is never written again: each model goes on after its last chunk, whatever batch sizes are set by
then. Control's models are handed over before the transaction that records what control answered; control keeps its own
chunks, so handing over again is harmless. Rows of other models become findings without being read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from region_silo.imports import store
from region_silo.imports.domain import DataImport, SlugWish
from region_silo.imports.store import Lease
from region_silo.imports.targets import TARGETS
from shared import barrier
from shared.database import Database, Transaction
from shared.importing.batch import batch_of, retried, write_batch
from shared.importing.decisions import BatchFinding, Counts
from shared.importing.findings import Finding
from shared.importing.handover import HandedAnswer, HandedBatch, HandedRow
from shared.importing.index import NO_MODEL, ModelRows
from shared.importing.registry import Silo, in_write_order, models, why_skipped
from shared.importing.rows import DecodedRows, RowDecoder, skipped_row, unreadable_object
from shared.importing.upload import UploadedFile


class ControlPeer(Protocol):
    """What the importer asks of control. Both raise PeerUnavailable and the like when control cannot be reached."""

    def import_batch(self, batch: HandedBatch) -> HandedAnswer:
        """Write a batch of one of control's models; a repeat gets the stored answer."""
        ...

    def reserve_slugs(self, change_set: str, wishes: list[SlugWish]) -> None:
        """Ask for slugs, at most 5,000 organizations a call; control applies them by calling the region back."""
        ...


class Ids(Protocol):
    """Where new snowflakes come from."""

    def take(self, count: int) -> list[int]:
        """Give out `count` new ids."""
        ...


@dataclass(frozen=True)
class BatchLimits:
    """How much one batch takes at most; a batch holds at least one row."""

    rows_max: int = 5000
    bytes_max: int = 16 << 20
    handed_bytes_max: int = 2 << 20
    lease_s: float = 20.0


class StoppedError(Exception):
    """The process is to stop; the import goes on elsewhere."""


class FileWriter:
    """Writes one import's file under a lease."""

    def __init__(
        self,
        database: Database,
        control: ControlPeer,
        ids: Ids,
        limits: BatchLimits,
        *,
        lease: Lease,
        data_import: DataImport,
        file: UploadedFile,
        stopping: Callable[[], bool],
    ) -> None:
        self._database = database
        self._control = control
        self._ids = ids
        self._limits = limits
        self._lease = lease
        self._import = data_import
        self._file = file
        self._stopping = stopping

    def write_all(self) -> None:
        """Write what is not written yet. Raises LeaseLostError, StoppedError, SpoolMissing, what control refuses."""
        going_on = self._database.read(lambda transaction: store.next_ordinals(transaction, self._import.id))
        for model in self._import.models:
            first = going_on.get(model.model, 1)
            write = self._writer_of(model.model)
            while first <= model.rows:
                if self._stopping():
                    raise StoppedError
                last = self._last_ordinal(model.model, first)
                write(model.model, first, last)
                barrier.reach("import.after_batch")
                first = last + 1

    def _writer_of(self, model: str) -> Callable[[str, int, int], None]:
        if model == NO_MODEL or why_skipped(model, self._import.scope.takes) is not None:
            return self._tell_skipped
        return self._hand_over if models()[model].silo is Silo.CONTROL else self._write_own

    def _last_ordinal(self, model: str, first: int) -> int:
        handed = model in models() and models()[model].silo is Silo.CONTROL
        left = self._limits.handed_bytes_max if handed else self._limits.bytes_max
        last = first
        for record in self._file.records(model, first, self._limits.rows_max):
            left -= record.length
            if left < 0:
                break
            last = record.ordinal
        return last

    def _write_own(self, model: str, first: int, last: int) -> None:
        target = TARGETS[model]
        decoder = RowDecoder(model, self._import.created_at)
        decoded = DecodedRows([], [])
        for run in self._file.rows(model, first, last - first + 1):
            part = decoder.decode(run)
            decoded.rows.extend(part.rows)
            decoded.findings.extend(part.findings)
        decoded.findings.extend(decoder.take_ignored_fields())
        batch = batch_of(self._import.id, target, last - first + 1, decoded, self._ids.take)

        def work(transaction: Transaction) -> None:
            store.commit_without_waiting(transaction)
            store.renew(transaction, self._lease, self._limits.lease_s)
            written = write_batch(transaction, target, batch)
            self._save_chunk(transaction, model, (first, last), written.counts, written.findings)

        retried(lambda: self._database.transact(work))

    def _hand_over(self, model: str, first: int, last: int) -> None:
        self._database.transact(lambda transaction: store.renew(transaction, self._lease, self._limits.lease_s))
        runs = self._file.rows(model, first, last - first + 1)
        rows = [HandedRow(row.ordinal, row.data) for run in runs for row in run]
        batch = HandedBatch(self._import.id, self._import.principal, self._import.scope.takes, model, rows)
        answer = self._control.import_batch(batch)

        def work(transaction: Transaction) -> None:
            store.commit_without_waiting(transaction)
            store.renew(transaction, self._lease, self._limits.lease_s)
            store.copy_ledger(transaction, self._import.id, model, answer.rows)
            self._save_chunk(transaction, model, (first, last), answer.counts(len(rows)), answer.findings)

        self._database.transact(work)

    def _tell_skipped(self, model: str, first: int, last: int) -> None:
        count = last - first + 1

        def work(transaction: Transaction) -> None:
            store.commit_without_waiting(transaction)
            store.renew(transaction, self._lease, self._limits.lease_s)
            told = [BatchFinding.of_row(each) for each in self._skipped(model, first, count)]
            self._save_chunk(transaction, model, (first, last), Counts(skipped=count), told)

        self._database.transact(work)

    def _skipped(self, model: str, first: int, count: int) -> Iterator[Finding]:
        if model == NO_MODEL:
            for run in self._file.rows(model, first, count):
                yield from map(unreadable_object, run)
            return
        kind = why_skipped(model, self._import.scope.takes)
        assert kind is not None, f"{model} is imported"
        for record in self._file.records(model, first, count):
            yield skipped_row(model, record, kind)

    def _save_chunk(
        self,
        transaction: Transaction,
        model: str,
        span: tuple[int, int],
        counts: Counts,
        findings: Sequence[BatchFinding],
    ) -> None:
        first, last = span
        assert counts.total == last - first + 1, f"{model} {first}-{last}: {counts} does not sum up"
        store.insert_chunk(transaction, self._import.id, model, first_ordinal=first, last_ordinal=last, counts=counts)
        if findings:
            store.copy_findings(transaction, self._import.id, findings)
        store.add_progress(transaction, self._lease, done=last - first + 1, findings=len(findings))
        barrier.reach("import.in_batch")


def in_order_of_writing(found: tuple[ModelRows, ...]) -> list[ModelRows]:
    """The file's models: those that are known in dependency order, then the others in the file's order."""
    rows = {each.model: each for each in found}
    known = in_write_order(rows)
    return [rows[name] for name in known] + [each for each in found if each.model not in set(known)]
