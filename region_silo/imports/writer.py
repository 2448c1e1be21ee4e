"""Writes an uploaded file batch by batch, models in dependency order, each batch with its chunk in one transaction.

A chunk that stands is never written again: each model goes on after its last chunk, whatever batch sizes are set by
then. Control's models are handed over before the transaction that records what control answered; control keeps its own
chunks, so handing over again is harmless. Rows of other models become findings without being read.

When an import is taken up again, each model's chunks are gone through first: of rows that failed the findings are
replaced, and the chunk says in the same transaction that this try has come to it. What stands in the ledger is never
written again.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from psycopg.errors import IntegrityError

from region_silo.imports import chunk_store, finding_store, store
from region_silo.imports.ahead import Ahead
from region_silo.imports.choosing import Choices
from region_silo.imports.chunk_store import Chunk
from region_silo.imports.domain import DataImport, Scope, State
from region_silo.imports.global_scope import keeping_ids, refuse_others, told_of_ids
from region_silo.imports.handing import Handing
from region_silo.imports.lanes import FOLLOWING, LaneCutError, Lanes, LaneTask, following_of, in_one_lane, tasks_of
from region_silo.imports.own_addresses import OWN_ADDRESSES, OwnAddresses, with_own_addresses
from region_silo.imports.own_batches import OwnBatch, OwnBatches
from region_silo.imports.peers import ControlPeer, Ids
from region_silo.imports.planner import begin_plan
from region_silo.imports.recording import Recording
from region_silo.imports.resting import RestedError
from region_silo.imports.sharing import Turn
from region_silo.imports.sieve import Sieve
from region_silo.imports.skipping import is_skipped, told_of_skipped
from region_silo.imports.store import Lease
from region_silo.imports.targets import PROJECT, target_of
from shared import barrier
from shared.database import Database, Transaction
from shared.importing.batch import AmissError, Batch, Suspects, Written, batch_of, retried, write_batch
from shared.importing.decisions import Counts, count_errors
from shared.importing.handover import HandedAnswer
from shared.importing.registry import Silo, models
from shared.importing.rows import RowDecoder
from shared.importing.targets import Target
from shared.importing.upload import RawRow, UploadedFile

AFTER_SLUGS = frozenset({"sentry.orgauthtoken"})
"""Models whose rows are written when the organizations have their slugs: new tokens hold them."""
_MOMENT = 0.05
"""Of a lease's time."""


@dataclass(frozen=True)
class BatchLimits:
    """How much one batch takes at most; a batch holds at least one row."""

    rows_max: int = 5000
    bytes_max: int = 16 << 20
    handed_bytes_max: int = 2_560 << 10
    lease_s: float = 20.0


@dataclass(frozen=True)
class _Handed:
    """How many rows were handed over, those that the filters left out, the answer, and how long it took."""

    count: int
    left_out: list[RawRow]
    answer: HandedAnswer
    took_s: float


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
        turn: Turn,
        stopping: Callable[[], bool],
        follow: Callable[[Callable[[], None]], None],
    ) -> None:
        self._database = database
        self._ids = ids
        self._limits = limits
        self._lease = lease
        self._import = data_import
        self._file = file
        self._turn = turn
        self._stopping = stopping
        self._follow = follow
        self._rows = {each.model: each.rows for each in data_import.models}
        self._sieve = Sieve(database, data_import, file)
        self._choices = Choices(database, data_import)
        self._handing = Handing(database, control, data_import, self._choices)
        self._ahead = Ahead[_Handed]()
        self._suspects = Suspects()
        self._own = OwnBatches(database, ids, data_import, self._sieve)
        self._addresses = OwnAddresses(database, control, lease, limits.lease_s, data_import)
        self._following: dict[str, int] = {}
        self._renewed_at = -math.inf
        self._recording = self._recording_in(State.WRITING)
        self._lanes = Lanes((), self._retry)

    def write_all(self, *, after_slugs: bool = False) -> None:
        """Write what is not written yet, but for the models AFTER_SLUGS; with `after_slugs` only these.

        Raises RestedError, LeaseLostError, StoppedError, TurnOverError, SpoolMissing, SiloHoldsOrganizations,
        PlanExpired, DriftedError, what control refuses.
        """
        state = State.FINISHING if after_slugs else State.WRITING
        self._recording = self._recording_in(State.PLANNING if self._import.is_plan else state)
        going_on = self._database.read(lambda transaction: chunk_store.next_ordinals(transaction, self._import.id))
        if not going_on and self._import.scope is Scope.GLOBAL and not self._import.options.add_to_silo:
            self._database.read(lambda transaction: refuse_others(transaction, self._import.id))
        if self._import.is_plan:
            self._database.transact(lambda transaction: self._begin_plan(transaction, goes_on=bool(going_on)))
        self._sieve.prepare(self._lease, self._limits.lease_s)
        wanted = [name for name in self._rows if self._import.is_plan or (name in AFTER_SLUGS) is after_slugs]
        self._following = dict(going_on)
        self._lanes = Lanes(self._tasks(wanted), self._write_model, self._write_early)
        try:
            self._lanes.run()
        finally:
            self._ahead.close()

    def _recording_in(self, state: State) -> Recording:
        return Recording(self._lease, self._limits.lease_s, self._import, self._sieve, state)

    def _tasks(self, wanted: Sequence[str]) -> list[LaneTask]:
        """What is decided row by row beforehand, or was tried before, is written in its one order."""
        taken = [name for name in wanted if self._is_handed(name) and not self._is_skipped(name)]
        if not self._side_by_side:
            return with_own_addresses(in_one_lane(wanted), taken)
        return [*with_own_addresses(tasks_of(wanted, taken), taken), *following_of(wanted)]

    @property
    def _side_by_side(self) -> bool:
        return not (self._import.is_plan or self._import.plan_id is not None or self._import.tries)

    def _write_model(self, model: str) -> None:
        if model == FOLLOWING:
            self._follow(self._check)
            return
        if model == OWN_ADDRESSES:
            self._addresses.ask_for(self._do)
            return
        if self._import.tries:
            self._retry(model)
        write = self._writer_of(model)
        while (first := self._following.get(model, 1)) <= self._rows[model]:
            last = self._last_ordinal(model, first)
            self._do(partial(write, model, first, last))
            self._following[model] = last + 1
            self._lanes.step()

    def _write_early(self, model: str, needs: frozenset[str]) -> bool:
        """Write a batch at once, if all that it refers to of models that are not done is there already."""
        first = self._following.get(model, 1)
        is_own = not (self._is_skipped(model) or self._is_handed(model))
        if not is_own or not self._side_by_side or first > self._rows[model]:
            return False
        own = self._own.early(model, first, self._last_ordinal(model, first), needs)
        if own is None:
            return False
        try:
            self._do(lambda: self._database.transact(partial(self._write_prepared, own, at_once=True)))
        except (AmissError, IntegrityError):
            return False
        self._following[model] = self._own.written(own)
        return True

    def _renew(self) -> None:
        """Hold on to the import, unless that was done a moment ago."""
        now = time.monotonic()
        if now < self._renewed_at + _MOMENT * self._limits.lease_s:
            return

        def work(transaction: Transaction) -> None:
            transaction.commit_without_waiting()  # a lease that is lost is taken again
            store.renew(transaction, self._lease, self._limits.lease_s)

        self._database.transact(work)
        self._renewed_at = now

    def _begin_plan(self, transaction: Transaction, *, goes_on: bool) -> None:
        store.renew(transaction, self._lease, self._limits.lease_s)
        begin_plan(transaction, self._import, goes_on=goes_on)

    def _do(self, write: Callable[[], RestedError | None]) -> None:
        """One batch, and what comes after each."""
        self._check()
        began = time.monotonic()
        barrier.reach("import.before_batch")
        rested = write()
        barrier.reach("import.after_batch")
        if rested is not None:
            raise rested
        self._turn.after_batch(time.monotonic() - began, self._stopping)

    def _check(self) -> None:
        if self._lanes.is_cut:
            raise LaneCutError
        if self._stopping():
            raise StoppedError

    def _writer_of(self, model: str) -> Callable[[str, int, int], RestedError | None]:
        if self._is_skipped(model):
            return self._tell_skipped
        return self._hand_over if self._is_handed(model) else self._write_own

    def _is_handed(self, model: str) -> bool:
        return model in models() and models()[model].silo is Silo.CONTROL

    def _is_skipped(self, model: str) -> bool:
        return is_skipped(model, self._import.scope.takes)

    def _retry(self, model: str) -> None:
        """Try the rows of the model again that failed, chunk by chunk."""
        if self._is_skipped(model):
            over = partial(self._recording.pass_over, model=model)
            self._do(lambda: self._database.transact(over))
            return
        self._database.transact(lambda transaction: chunk_store.pass_over(transaction, self._import, model))
        again = self._hand_again if models()[model].silo is Silo.CONTROL else self._write_again
        while True:
            chunk = self._database.read(lambda transaction: chunk_store.untried(transaction, self._import, model))
            if chunk is None:
                return
            self._do(partial(again, model, *chunk))

    def _last_ordinal(self, model: str, first: int) -> int:
        left = self._limits.handed_bytes_max if self._is_handed(model) else self._limits.bytes_max
        return first + self._file.count_within(model, first, self._limits.rows_max, left) - 1

    def _write_own(self, model: str, first: int, last: int) -> RestedError | None:
        own = self._own.batch(model, first, last)
        return self._retried(partial(self._write_prepared, own), model)

    def _write_prepared(self, own: OwnBatch, transaction: Transaction, *, at_once: bool) -> RestedError | None:
        began = time.monotonic()
        chunk_store.begin_batch(transaction, self._lease)
        written = self._write_batch(transaction, own.target, own.batch, at_once=at_once)
        took_s = own.took_s + time.monotonic() - began
        chunk = Chunk(own.target.model, own.first, own.last, written.counts, took_s=took_s)
        return self._recording.save(transaction, chunk, written.findings, own.left_out)

    def _retried(self, work: Callable[..., RestedError | None], model: str) -> RestedError | None:
        rested: RestedError | None = retried(
            lambda at_once: self._database.transact(partial(work, at_once=at_once)), self._suspects, model
        )
        return rested

    def _hand_over(self, model: str, first: int, last: int) -> RestedError | None:
        handed = self._ahead.take((model, first), partial(self._hand, model, first, last))
        barrier.reach("import.handed")
        answer, following = handed.answer, last + 1
        if self._asks_ahead(answer) and following <= self._rows[model]:
            ask = partial(self._hand, model, following, self._last_ordinal(model, following))
            self._ahead.begin((model, following), ask)

        def work(transaction: Transaction) -> RestedError | None:
            began = time.monotonic()
            chunk_store.begin_batch(transaction, self._lease)
            chunk_store.copy_ledger(transaction, self._import.id, model, answer.rows)
            counts, in_ledger = answer.counts(handed.count), answer.counted is None
            took_s = handed.took_s + time.monotonic() - began
            chunk = Chunk(model, first, last, counts, in_ledger=in_ledger, took_s=took_s)
            return self._recording.save(transaction, chunk, answer.findings, handed.left_out)

        return self._database.transact(work)

    def _hand(self, model: str, first: int, last: int) -> _Handed:
        self._renew()
        began = time.monotonic()
        left_out: list[RawRow] = []
        runs = self._sieve.passing(model, first, last, left_out)
        rows = [row for run in runs for row in run]
        answer = self._handing.ask(model, rows) if rows else HandedAnswer((), ())
        return _Handed(len(rows), left_out, answer, time.monotonic() - began)

    def _asks_ahead(self, answer: HandedAnswer) -> bool:
        """Whether the next batch is written in any case, as far as is known, and nothing is decided in between."""
        stops = count_errors(answer.findings) and not self._import.continue_on_error
        return self._side_by_side and not (stops or self._import.leaves_gaps or self._lanes.is_cut or self._stopping())

    def _write_batch(self, transaction: Transaction, target: Target, batch: Batch, *, at_once: bool) -> Written:
        if batch.planned:
            begin_plan(transaction, self._import, goes_on=True)
        batch = self._choices.given(transaction, target.model, batch)
        if target.model != PROJECT or self._import.scope is not Scope.GLOBAL or not batch.rows:
            return write_batch(transaction, target, batch, at_once=at_once)
        keeping = keeping_ids(transaction, batch)
        written = write_batch(transaction, target, keeping, at_once=at_once, tells_ledger=True)
        told = written.findings + told_of_ids(written.ledger)
        return replace(written, findings=sorted(told, key=lambda each: each.ordinal))

    def _tell_skipped(self, model: str, first: int, last: int) -> RestedError | None:
        count = last - first + 1

        def work(transaction: Transaction) -> RestedError | None:
            chunk_store.begin_batch(transaction, self._lease)
            told = told_of_skipped(self._file, model, self._import.scope.takes, first, count)
            return self._recording.save(transaction, Chunk(model, first, last, Counts(skipped=count)), told)

        return self._database.transact(work)

    def _write_again(self, model: str, span: tuple[int, int], counts: Counts) -> RestedError | None:
        target = target_of(model, self._import.terms)
        ordinals = self._failed(model, span)
        decoder = RowDecoder(model, self._import.created_at)
        decoded = decoder.decode(self._rows_at(model, ordinals))  # what it ignores is told already
        batch = self._own.of_plan(batch_of(self._import.id, target, len(ordinals), decoded, self._ids.take))

        def work(transaction: Transaction, *, at_once: bool) -> RestedError | None:
            store.renew(transaction, self._lease, self._limits.lease_s)
            written = self._write_batch(transaction, target, batch, at_once=at_once)
            then = counts.tried_again(len(ordinals), written.counts)
            return self._recording.save_again(transaction, model, span, then, written.findings)

        return self._retried(work, model)

    def _hand_again(self, model: str, span: tuple[int, int], counts: Counts) -> RestedError | None:
        self._renew()
        rows = list(self._rows_at(model, self._failed(model, span)))
        answer = self._handing.ask(model, rows, again=True)
        barrier.reach("import.handed")

        def work(transaction: Transaction) -> RestedError | None:
            store.renew(transaction, self._lease, self._limits.lease_s)
            chunk_store.copy_ledger(transaction, self._import.id, model, answer.rows)
            then = counts.tried_again(len(rows), answer.counts(len(rows)))
            return self._recording.save_again(transaction, model, span, then, answer.findings)

        return self._database.transact(work)

    def _failed(self, model: str, span: tuple[int, int]) -> list[int]:
        return self._database.read(
            lambda transaction: finding_store.failed_ordinals(transaction, self._import.id, model, span)
        )

    def _rows_at(self, model: str, ordinals: Sequence[int]) -> Iterator[RawRow]:
        """Rows of one batch: what stands between those that are wanted is read with them."""
        wanted = frozenset(ordinals)
        for run in self._file.rows(model, ordinals[0], ordinals[-1] - ordinals[0] + 1):
            yield from (row for row in run if row.ordinal in wanted)
