"""Undoes an import under its lease: step after step, page after page of its ledger, each in one transaction.

What is still there of the ledger is what is still to be done, and the import's row tells the step and the page. So a
kill costs one page at most. Rows that only control's ledger has are paged and counted by control, in all; the chunks
here say how many were counted already, so an answer that is lost costs no row. Organizations are closed meanwhile, so
nothing comes to refer to what goes; control's rows are undone by control, which is asked outside any transaction and
may be asked again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

from region_silo.deletions.usecases import tell_gone
from region_silo.imports import finding_store, store, undo_store
from region_silo.imports.domain import DataImport, Effect, Event, State, change
from region_silo.imports.opening import Changing
from region_silo.imports.resting import conclude
from region_silo.imports.sharing import Turn
from region_silo.imports.store import Lease
from region_silo.imports.targets import PROJECT, target_of
from region_silo.imports.undo_peer import UndoPeer
from region_silo.imports.undo_store import LedgerPage
from region_silo.imports.writer import StoppedError
from region_silo.members import mirror
from region_silo.slugs.usecases import announce_organizations
from shared import audit, barrier
from shared.database import Database, Transaction
from shared.importing import undoing
from shared.importing.registry import MEMBER, ORGANIZATION, Silo, models, why_skipped
from shared.importing.undo_handover import UndoWanted
from shared.importing.undo_order import Phase, Step, steps_of
from shared.importing.undoing import Span, StayingRow
from shared.names import organization_name

_KNOWN_TO_CONTROL = frozenset(
    reference.model for model in models().values() if model.silo is Silo.CONTROL for reference in model.references
)
"""Models of which control has rows that refer to them."""
_END = "END"
"""The step when nothing is left but to open what stays."""
_ORGANIZATIONS_A_PAGE = 1000
"""Each is told to control by a message of its own, in the same transaction."""


@dataclass(frozen=True)
class UndoLimits:
    """How many rows a page has, and how long the lease is held on to."""

    rows_max: int = undoing.PAGE_ROWS
    lease_s: float = 20.0


@dataclass(frozen=True)
class UndoCaches:
    """Enclose transactions that change or delete organizations, and projects, so that caches of them are told."""

    organizations: Changing = lambda _: nullcontext()
    projects: Changing = lambda _: nullcontext()

    def of(self, model: str, pks: Sequence[int]) -> AbstractContextManager[None]:
        """The caches of a model's rows."""
        if model == ORGANIZATION:
            return self.organizations(pks)
        return self.projects(pks) if model == PROJECT else nullcontext()


class Undoer:
    """Undoes one import."""

    def __init__(
        self,
        database: Database,
        control: UndoPeer,
        limits: UndoLimits,
        caches: UndoCaches,
        *,
        lease: Lease,
        data_import: DataImport,
        turn: Turn,
        stopping: Callable[[], bool],
    ) -> None:
        self._database = database
        self._control = control
        self._limits = limits
        self._caches = caches
        self._lease = lease
        self._import = data_import
        self._turn = turn
        self._stopping = stopping
        scope = data_import.scope.takes
        written = [
            each.model
            for each in data_import.models
            if each.model in models() and why_skipped(each.model, scope) is None
        ]
        self._of_control = [name for name in written if models()[name].silo is Silo.CONTROL]
        self._steps = steps_of(written)

    def run(self) -> frozenset[Effect]:
        """Go on where it was, to the end; what is left of its effects. Raises LeaseLostError, StoppedError,
        TurnOverError, what control refuses.
        """
        names = [*(step.name for step in self._steps), _END]
        at, after = self._import.undo.step, self._import.undo.after
        first = names.index(at) if at in names else 0
        for step, following in list(zip(self._steps, names[1:], strict=True))[first:]:
            self._take(step, after if step.name == at else 0, following)
        return self._end()

    def _take(self, step: Step, after: int, following: str) -> None:
        if step.phase is Phase.BEGIN:
            self._begin(following)
            return
        in_control = step.model not in models() or models()[step.model].silo is Silo.CONTROL
        has_more = True
        while has_more:
            if self._stopping():
                raise StoppedError
            barrier.reach("undo.before_page")
            began = time.monotonic()
            take = self._take_control if in_control else self._take_own
            after, has_more = take(step, after, following)
            self._turn.after_batch(time.monotonic() - began, self._stopping)

    def _begin(self, following: str) -> None:
        self._each_organization(self._close)
        barrier.reach("undo.closed")
        if self._of_control:
            expects = self._database.read(
                lambda transaction: undo_store.stands_in_control(transaction, self._import.id, self._of_control)
            )
            self._database.transact(self._renew)
            self._control.undo_rows(self._wanted(Step(Phase.BEGIN, ""), 0, 0, expects_rows=expects))

        def work(transaction: Transaction) -> None:
            self._renew(transaction)
            told = undo_store.forget_told(transaction, self._import.id)
            store.set_undo(transaction, self._lease, following, 0, undone=0, kept=0, findings=-told)

        self._database.transact(work)

    def _take_own(self, step: Step, after: int, following: str) -> tuple[int, bool]:
        page = self._page(step.model, after)
        span = Span(self._import.id, step.model, after, page.through, self._rows_max(step.model))
        told: list[tuple[int, str]] = []
        if page.pks and step.model in _KNOWN_TO_CONTROL:
            self._database.transact(self._renew)
            found = self._control.find_references(self._import.id, step.model, page.pks)
            told = [(row.new_pk, f"{row.kind} {row.by}") for row in found]
        table = target_of(step.model, self._import.terms).table

        def work(transaction: Transaction) -> None:
            self._renew(transaction)
            place = (following, 0) if page.is_last else (step.name, page.through)
            if not page.rows:
                self._record(transaction, step.model, place, 0, ())
                return
            undoing.open_page(transaction, span)
            undoing.find_changed(transaction, table)
            undoing.find_told(transaction, told)
            undoing.find_referred(transaction, span, undo_store.references_of(transaction, step.model, table))
            before = partial(self._before, transaction, step.model)
            done = undoing.undo_page(transaction, span, table, before)
            self._record(transaction, step.model, place, done.undone, done.staying)
            barrier.reach("undo.in_page")

        with self._caches.of(step.model, page.pks):
            self._database.transact(work)
        return page.through, not page.is_last

    def _take_control(self, step: Step, after: int, following: str) -> tuple[int, bool]:
        page = self._page(step.model, after)
        span = Span(self._import.id, step.model, after, page.through)
        referred = self._database.transact(lambda transaction: self._referred(transaction, span))
        done = self._control.undo_rows(self._wanted(step, after, page.through, referred))
        barrier.reach("undo.told")
        is_last = page.is_last and not done.has_more

        def work(transaction: Transaction) -> None:
            self._renew(transaction)
            undone = 0
            if step.phase is Phase.UNDO and step.model in models():
                forgotten = Span(self._import.id, step.model, after, done.last)
                undone = undo_store.forget_span(transaction, forgotten, [row.old_pk for row in done.staying])
                undone = undo_store.count_undone(transaction, forgotten, undone, done.in_all)
            place = (following, 0) if is_last else (step.name, done.last)
            self._record(transaction, step.model, place, undone, [row for row in done.staying if row.ordinal])

        self._database.transact(work)
        return done.last, not is_last

    def _referred(self, transaction: Transaction, span: Span) -> list[tuple[int, str]]:
        """Rows of one of control's models that stay because something here refers to them."""
        self._renew(transaction)
        references = undo_store.references_to_control(span.model)
        if not references:
            return []
        undoing.open_page(transaction, span)
        undoing.find_referred(transaction, span, references)
        return [(row.new_pk, f"{row.kind} {row.by}") for row in undoing.page_done(transaction, span).staying]

    def _record(
        self,
        transaction: Transaction,
        model: str,
        place: tuple[str, int],
        undone: int,
        staying: Sequence[StayingRow],
    ) -> None:
        finding_store.copy_findings(transaction, self._import.id, [row.finding(model) for row in staying])
        kept = len(staying)
        store.set_undo(transaction, self._lease, *place, undone=undone, kept=kept, findings=kept)

    def _before(self, transaction: Transaction, model: str, pks: Sequence[int]) -> None:
        """Tell control of what goes."""
        if model == MEMBER:
            for organization_id, members in undo_store.members_by_organization(transaction, pks).items():
                mirror.announce(transaction, organization_id, members)
        if model == ORGANIZATION:
            for each in undo_store.read_going(transaction, pks):
                tell_gone(transaction, each.id, each.version + 1)
                audit.record(
                    transaction,
                    action="organization.undo",
                    target=organization_name(each.id),
                    organization_id=each.id,
                    detail={"name": each.name, "slug": each.slug, "import": self._import.name},
                )

    def _each_organization(self, work: Callable[[Transaction, Sequence[int]], list[int]]) -> None:
        """Work through the organizations that the ledger has, page by page."""
        after, is_last = 0, False
        while not is_last:
            page = self._page(ORGANIZATION, after)
            after, is_last = page.through, page.is_last

            def in_page(transaction: Transaction, pks: Sequence[int] = page.pks) -> None:
                self._renew(transaction)
                changed = work(transaction, pks)
                announce_organizations(transaction, changed)

            with self._caches.of(ORGANIZATION, page.pks):
                self._database.transact(in_page)

    def _close(self, transaction: Transaction, pks: Sequence[int]) -> list[int]:
        return undo_store.close_organizations(transaction, self._import, pks)

    def _open(self, transaction: Transaction, pks: Sequence[int]) -> list[int]:
        return undo_store.open_organizations(transaction, self._import.id, pks)

    def _end(self) -> frozenset[Effect]:
        if self._import.undo.opens:
            self._each_organization(self._open)
        barrier.reach("undo.before_end")
        state, effects = change(State.UNDOING, Event.UNDONE)

        def work(transaction: Transaction) -> frozenset[Effect]:
            store.end(transaction, self._lease, state, None)
            return conclude(transaction, self._import, state, effects)

        return self._database.transact(work)

    def _page(self, model: str, after: int) -> LedgerPage:
        rows_max = self._rows_max(model)
        return self._database.read(
            lambda transaction: undo_store.ledger_page(transaction, self._import.id, model, after, rows_max)
        )

    def _rows_max(self, model: str) -> int:
        return min(self._limits.rows_max, _ORGANIZATIONS_A_PAGE) if model == ORGANIZATION else self._limits.rows_max

    def _renew(self, transaction: Transaction) -> None:
        store.renew(transaction, self._lease, self._limits.lease_s)

    def _wanted(
        self,
        step: Step,
        after: int,
        through: int,
        referred: Sequence[tuple[int, str]] = (),
        *,
        expects_rows: bool = False,
    ) -> UndoWanted:
        return UndoWanted(
            self._import.id,
            self._import.undo.by,
            self._import.terms,
            step.phase,
            step.model,
            after,
            through,
            referred,
            expects_rows,
        )
