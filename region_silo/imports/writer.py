"""Writes an uploaded file batch by batch, models in dependency order, each batch with its chunk in one transaction.

A chunk that stands is never written again: each model goes on after its last chunk, whatever batch sizes are set by
then. Control's models are handed over before the transaction that records what control answered; control keeps its own
chunks, so handing over again is harmless. Rows of other models become findings without being read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from region_silo.imports import finding_store, organization_store, project_store, store
from region_silo.imports.domain import DataImport, Scope, SlugWish
from region_silo.imports.sieve import Sieve
from region_silo.imports.store import Lease
from region_silo.imports.targets import PROJECT, target_of
from shared import barrier, errors
from shared.database import Database, Transaction
from shared.importing.batch import Batch, batch_of, ledger_of, retried, write_batch
from shared.importing.decisions import BatchFinding, Counts, LedgerRow
from shared.importing.fields import field_reader
from shared.importing.findings import Finding, FindingKind
from shared.importing.handover import HandedAnswer, HandedBatch, HandedRow
from shared.importing.index import NO_MODEL, ModelRows
from shared.importing.registry import Silo, in_write_order, models, why_skipped
from shared.importing.rows import DecodedRows, RowDecoder, skipped_row, unreadable_object
from shared.importing.upload import RawRow, UploadedFile

AFTER_SLUGS = frozenset({"sentry.orgauthtoken"})
"""Models whose rows are written when the organizations have their slugs: new tokens hold them."""

_KEPT_ID_MAX = 2**53 - 1


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
        self._rows = {each.model: each.rows for each in data_import.models}
        self._sieve = Sieve(database, data_import, file)

    def write_all(self, *, after_slugs: bool = False) -> None:
        """Write what is not written yet, but for the models AFTER_SLUGS; with `after_slugs` only these.

        Raises LeaseLostError, StoppedError, SpoolMissing, SiloHoldsOrganizations, what control refuses.
        """
        going_on = self._database.read(lambda transaction: store.next_ordinals(transaction, self._import.id))
        if not going_on and self._import.scope is Scope.GLOBAL and not self._import.options.add_to_silo:
            self._database.read(lambda transaction: refuse_others(transaction, self._import.id))
        self._sieve.prepare(self._lease, self._limits.lease_s)
        for model in self._import.models:
            if (model.model in AFTER_SLUGS) is not after_slugs:
                continue
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
        target = target_of(model, self._import.terms)
        decoder = RowDecoder(model, self._import.created_at)
        decoded = DecodedRows([], [])
        left_out: list[RawRow] = []
        for run in self._passing(model, first, last, left_out):
            part = decoder.decode(run)
            decoded.rows.extend(part.rows)
            decoded.findings.extend(part.findings)
        decoded.findings.extend(decoder.take_ignored_fields())
        count = last - first + 1 - len(left_out)
        batch = batch_of(self._import.id, target, count, decoded, self._ids.take)
        keeps_ids = model == PROJECT and self._import.scope is Scope.GLOBAL

        def work(transaction: Transaction) -> None:
            store.renew(transaction, self._lease, self._limits.lease_s)
            written = write_batch(transaction, target, _keeping(transaction, batch) if keeps_ids else batch)
            findings = written.findings
            if keeps_ids and batch.rows:
                findings = sorted(findings + _replaced(ledger_of(transaction, target)), key=lambda each: each.ordinal)
            self._save_chunk(transaction, model, (first, last), written.counts, findings, left_out=left_out)

        retried(lambda: self._database.transact(work))

    def _hand_over(self, model: str, first: int, last: int) -> None:
        self._database.transact(lambda transaction: store.renew(transaction, self._lease, self._limits.lease_s))
        left_out: list[RawRow] = []
        runs = self._passing(model, first, last, left_out)
        rows = [HandedRow(row.ordinal, row.data) for run in runs for row in run]
        answer = self._control.import_batch(self._handed(model, rows)) if rows else HandedAnswer((), ())

        def work(transaction: Transaction) -> None:
            store.renew(transaction, self._lease, self._limits.lease_s)
            store.copy_ledger(transaction, self._import.id, model, answer.rows)
            counts = answer.counts(len(rows))
            self._save_chunk(transaction, model, (first, last), counts, answer.findings, left_out=left_out)

        self._database.transact(work)

    def _handed(self, model: str, rows: Sequence[HandedRow]) -> HandedBatch:
        wanted = referred_in_region(model, rows)
        known = (
            self._database.read(lambda transaction: store.known_rows(transaction, self._import.id, wanted))
            if wanted
            else ()
        )
        terms, filtered = self._import.terms, self._import.options.filtered
        return HandedBatch(self._import.id, self._import.principal, terms, model, rows, known, filtered=filtered)

    def _passing(self, model: str, first: int, last: int, left_out: list[RawRow]) -> Iterator[list[RawRow]]:
        """The rows that the filters let pass, in runs; the others are added to `left_out`."""
        for run in self._file.rows(model, first, last - first + 1):
            gone = self._sieve.left_out(model, run)
            left_out += gone
            ordinals = {row.ordinal for row in gone}
            yield [row for row in run if row.ordinal not in ordinals] if gone else run

    def _tell_skipped(self, model: str, first: int, last: int) -> None:
        count = last - first + 1

        def work(transaction: Transaction) -> None:
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
        *,
        left_out: Sequence[RawRow] = (),
    ) -> None:
        first, last = span
        counts = replace(counts, skipped=counts.skipped + len(left_out))
        self._sieve.note(transaction, model, left_out)
        if last == self._rows[model]:
            findings = [*findings, *self._sieve.total(transaction, model)]
        assert counts.total == last - first + 1, f"{model} {first}-{last}: {counts} does not sum up"
        store.insert_chunk(transaction, self._import.id, model, first_ordinal=first, last_ordinal=last, counts=counts)
        if findings:
            finding_store.copy_findings(transaction, self._import.id, findings)
        store.add_progress(transaction, self._lease, done=last - first + 1, findings=len(findings))
        barrier.reach("import.in_batch")


def refuse_others(transaction: Transaction, import_id: int) -> None:
    """Raise SiloHoldsOrganizations when the region holds any that this import has not made."""
    if organization_store.holds_others(transaction, import_id):
        field, told = "header.options.add_to_silo", "must be set to add to a silo that holds other organizations"
        raise errors.SiloHoldsOrganizations(violations=[errors.Violation(field, told)])


def _keeping(transaction: Transaction, batch: Batch) -> Batch:
    """The rows with the ids that they have in the file, as far as these are free, so that DSNs go on to work."""
    taken = project_store.taken_ids(transaction, [row.pk for row in batch.rows])
    pks = [
        new if row.pk in taken or row.pk > _KEPT_ID_MAX else row.pk
        for row, new in zip(batch.rows, batch.new_pks, strict=True)
    ]
    return replace(batch, new_pks=pks)


def _replaced(rows: Sequence[LedgerRow]) -> list[BatchFinding]:
    reason = "the id is taken; the row has {}"
    return [
        BatchFinding.of_row(
            Finding.of(
                FindingKind.ID_REPLACED,
                PROJECT,
                row.ordinal,
                pk=row.old_pk,
                field="pk",
                reason=reason.format(row.new_pk),
            )
        )
        for row in rows
        if row.new_pk != row.old_pk
    ]


def referred_in_region(model: str, rows: Sequence[HandedRow]) -> dict[str, set[int]]:
    """The pks of the region's rows, by model, that rows of one of control's models refer to."""
    references = [
        each
        for each in models()[model].references
        if each.model in models() and models()[each.model].silo is Silo.REGION
    ]
    wanted: dict[str, set[int]] = {}
    reader = field_reader(tuple(each.field for each in references))
    for row in rows if references else ():
        for reference, pk in zip(references, reader.pks(row.data), strict=True):
            if pk is not None:
                wanted.setdefault(reference.model, set()).add(pk)
    return wanted


def in_order_of_writing(found: tuple[ModelRows, ...]) -> list[ModelRows]:
    """The file's models: those that are known in dependency order, then the others in the file's order."""
    rows = {each.model: each for each in found}
    known = in_write_order(rows)
    return [rows[name] for name in known] + [each for each in found if each.model not in set(known)]
