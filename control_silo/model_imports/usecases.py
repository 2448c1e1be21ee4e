"""Writes the batches of control's models that a region's importer hands over, each row once.

The region is believed in nothing that control knows itself: the import's id must carry the region's number, and the
principal's scopes are read here. Rows that a chunk covers are answered from what was stored, whatever size of batch
they come in now; when they come again to be tried again, those that stand in the ledger are answered from there.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from control_silo.model_imports import own_addresses, store, undo_store
from control_silo.model_imports.granted import check_scope
from control_silo.model_imports.plans import enter_plan
from control_silo.model_imports.targets import target_of
from control_silo.regions.own_ids import check_own
from shared import barrier
from shared.database import Database, Transaction
from shared.errors import Aborted, InvalidArgument
from shared.importing.batch import Batch, Suspects, batch_of, retried, write_batch
from shared.importing.drift import DriftedError
from shared.importing.handover import HandedAnswer, HandedBatch
from shared.importing.policies import POLICIES
from shared.importing.registry import ORGANIZATION, USER, Silo, models
from shared.importing.rows import DecodedRows, RowDecoder
from shared.importing.targets import Target
from shared.importing.upload import RawRow


class Ids(Protocol):
    """Where new snowflakes come from."""

    def take(self, count: int) -> list[int]:
        """Give out `count` new ids."""
        ...


@dataclass(frozen=True)
class ModelImportUseCases:
    """`scopes_of(principal, time)`: what it might do then, nothing once gone. `number_of(region)`: None if unknown.

    An import that was begun in time is finished, although its token ends meanwhile: its id tells when it was begun.
    """

    database: Database
    ids: Ids
    scopes_of: Callable[[str, datetime], frozenset[str]]
    number_of: Callable[[str], int | None]
    suspects: Suspects = field(default_factory=Suspects)

    def import_batch(self, region: str, batch: HandedBatch) -> HandedAnswer:
        """Write what is not written yet and answer for all rows; of those that come again, all that is not written.

        What differs from the plan that the import applies is answered with nothing written. Raises PeerRefused (not
        the region's import), ScopeMissing, InvalidArgument (not a model of control that the scope takes, rows with
        gaps), PlanExpired, Aborted.
        """
        self._check(region, batch)
        try:
            return self._try_again(batch) if batch.again else self._answer(batch)
        except DriftedError as drifted:
            return HandedAnswer((), drifted.findings, drifted=True)

    def _answer(self, batch: HandedBatch) -> HandedAnswer:
        covered = self.database.ask(lambda transaction: store.covered(transaction, batch.import_id, batch.model))
        if covered >= batch.last_ordinal:
            return self.database.read(lambda transaction: store.answer(transaction, batch))
        if batch.first_ordinal > covered + 1 and not batch.filtered:
            raise InvalidArgument.of("rows", f"rows {covered + 1} to {batch.first_ordinal - 1} were not handed over")
        return self._write(batch, covered + 1)

    def _check(self, region: str, batch: HandedBatch) -> None:
        begun = check_own("the import", batch.import_id, region, self.number_of(region))
        if batch.applied_plan is not None:
            check_own("the plan", batch.applied_plan, region, begun.region)
        check_scope(self.scopes_of(batch.principal, begun.time), batch.permission, batch.principal)
        model = models().get(batch.model)
        if model is None or model.silo is not Silo.CONTROL or not model.in_scope(batch.terms.scope):
            raise InvalidArgument.of("model", "is no model of control that this scope takes")
        _check_rows(batch)
        self._check_known(region, batch, begun.region)

    def _check_known(self, region: str, batch: HandedBatch, number: int) -> None:
        for place, known in enumerate(batch.known):
            referred = models().get(known.model)
            if referred is None or referred.silo is not Silo.REGION:
                raise InvalidArgument.of(f"known[{place}].model", "is no model of a region")
            if known.model == ORGANIZATION:
                check_own("the organization", known.new_pk, region, number)

    def _write(self, batch: HandedBatch, first: int) -> HandedAnswer:
        target = target_of(batch.model, batch.terms)
        decoder = RowDecoder(batch.model, self.database.clock.now())
        rows = batch.rows if first <= batch.first_ordinal else [row for row in batch.rows if row.ordinal >= first]
        decoded = decoder.decode(rows)
        decoded.findings.extend(decoder.take_ignored_fields())
        new = self._new(batch, target, len(rows), decoded)
        barrier.reach("model_import.decoded")

        def work(transaction: Transaction, *, at_once: bool) -> HandedAnswer:
            if batch.planned:
                enter_plan(transaction, batch.import_id)
            undo_store.share_imports(transaction)
            store.keep_known(transaction, batch.import_id, batch.known)
            written = write_batch(transaction, target, new, at_once=at_once, tells_ledger=not batch.without_rows)
            _complete(transaction, batch, new)
            recorded = store.insert_chunk(
                transaction,
                batch.import_id,
                batch.model,
                first_ordinal=first,
                last_ordinal=batch.last_ordinal,
                counts=written.counts,
                findings=written.findings,
            )
            barrier.reach("model_import.in_batch")
            if not recorded:
                raise _WrittenMeanwhileError
            if first > batch.first_ordinal:
                return store.answer(transaction, batch)
            counted = written.counts if batch.without_rows else None
            return HandedAnswer(written.ledger, written.findings, counted=counted)

        return self._unless_meanwhile(work, batch)

    def _try_again(self, batch: HandedBatch) -> HandedAnswer:
        """Write the rows that are not in the ledger; their new findings replace those that their chunks hold.

        What was found when a row that stands was tried again is told with it each time: nobody knows whether the region
        has heard it.
        """
        target = target_of(batch.model, batch.terms)

        def known(transaction: Transaction) -> frozenset[int]:
            if store.covered(transaction, batch.import_id, batch.model) < batch.last_ordinal:
                raise InvalidArgument.of("again", "the rows were not handed over before")
            return store.standing(transaction, batch)

        written_before = self.database.read(known)
        rows = [row for row in batch.rows if row.ordinal not in written_before]
        decoded = _decoded(batch, rows, self.database.clock.now())
        new = self._new(batch, target, len(rows), decoded)

        def work(transaction: Transaction, *, at_once: bool) -> HandedAnswer:
            store.lock_chunks(transaction, batch.import_id, batch.model, batch.first_ordinal, batch.last_ordinal)
            if known(transaction) != written_before:
                raise _WrittenMeanwhileError
            undo_store.share_imports(transaction)
            store.keep_known(transaction, batch.import_id, batch.known)
            written = write_batch(transaction, target, new, at_once=at_once)
            _complete(transaction, batch, new)
            tried = [row.ordinal for row in rows]
            store.replace_findings(transaction, batch.import_id, batch.model, tried, written.findings)
            barrier.reach("model_import.in_batch")
            return store.answer(transaction, batch)

        return self._unless_meanwhile(work, batch)

    def _unless_meanwhile(self, work: Callable[..., HandedAnswer], batch: HandedBatch) -> HandedAnswer:
        def write(at_once: bool) -> HandedAnswer:
            return self.database.transact(partial(work, at_once=at_once))

        try:
            answer: HandedAnswer = retried(write, self.suspects, (batch.import_id, batch.model))
        except _WrittenMeanwhileError:
            raise Aborted("the batch is being written by another call", retry_after_s=0.2) from None
        barrier.reach("model_import.committed")
        return answer

    def _new(self, batch: HandedBatch, target: Target, count: int, decoded: DecodedRows) -> Batch:
        made = batch_of(batch.import_id, target, count, decoded, self.ids.take)
        return replace(
            made,
            planned=batch.planned,
            plan_id=batch.applied_plan,
            plan_was_edited=batch.plan_was_edited,
            choices=batch.choices,
        )


def _decoded(batch: HandedBatch, rows: Iterable[RawRow], now: datetime) -> DecodedRows:
    return RowDecoder(batch.model, now).decode(rows)


def _complete(transaction: Transaction, batch: HandedBatch, new: Batch) -> None:
    """Users of a region that asks for nothing when their addresses are written have their own with the batch."""
    if batch.model == USER and not batch.own_addresses_later:
        pks = [row.pk for row in new.rows]
        own_addresses.make_of_batch(transaction, batch.import_id, pks, planned=batch.planned)


class _WrittenMeanwhileError(Exception):
    """Another call has recorded the same rows; this one's are rolled back."""


def _check_rows(batch: HandedBatch) -> None:
    if batch.first_ordinal < 1:
        raise InvalidArgument.of("ordinals[0]", "must be 1 at least")
    ordinals = [row.ordinal for row in batch.rows]
    for place, step in enumerate(map(operator.sub, ordinals[1:], ordinals), 1):
        if step < 1 or (step > 1 and not (batch.again or batch.filtered)):
            raise InvalidArgument.of(f"ordinals[{place}]", "must be one more than the one before")
    for place, choice in enumerate(batch.choices):
        if choice.policy not in POLICIES.get(batch.model, ()):
            raise InvalidArgument.of(f"choices[{place}].policy", "is none that the model knows")
