"""Undoes the rows that an import of a region wrote here, span by span of its ledger, each in one transaction.

The region is believed in nothing that control knows itself: the import's id must carry the region's number, and who
asked must have the scopes that the import needs. Only rows of that import's ledger are touched. What is told of a span
that comes again is what stays by then, so a repeat does no harm; how many rows have gone is noted with them, and told
in all, for the region has not those rows in its ledger that nothing refers to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from control_silo.model_imports import undo_store
from control_silo.model_imports.cleaner import RETENTION
from control_silo.model_imports.granted import check_scope
from control_silo.regions.own_ids import check_own
from shared import barrier
from shared.database import Database, Transaction
from shared.errors import InvalidArgument, UndoTooLate
from shared.importing import undoing
from shared.importing.registry import USER, Silo, models
from shared.importing.undo_handover import UndoWanted
from shared.importing.undo_order import ADDRESSES_OF_USERS, EMAILS_OF_USERS, PARTS_OF_USERS, Phase
from shared.importing.undoing import Span, StayingRow, UndonePage

_MARGIN = timedelta(days=1)
"""So long before the retention's end nothing is begun: cleaning must not come across it."""


@dataclass(frozen=True)
class UndoingUseCases:
    """`scopes_of(principal, time)`: what it might do then, nothing once gone. `number_of(region)`: None if unknown."""

    database: Database
    scopes_of: Callable[[str, datetime], frozenset[str]]
    number_of: Callable[[str], int | None]

    def undo(self, region: str, wanted: UndoWanted) -> UndonePage:
        """Do a phase for the first rows of a span, or all.

        Raises PeerRefused (not the region's import), ScopeMissing, InvalidArgument (no model of control's), UndoTooLate
        (the ledger is not kept any more).
        """
        self._check_import(region, wanted.import_id)
        granted = self.scopes_of(wanted.principal, self.database.clock.now())
        check_scope(granted, wanted.terms.permission, wanted.principal)
        if wanted.phase is Phase.BEGIN:
            return self.database.transact(lambda transaction: _begin(transaction, wanted))
        known = models().get(wanted.model)
        is_own = known is not None and known.silo is Silo.CONTROL and known.in_scope(wanted.terms.scope)
        if not is_own and wanted.model not in (EMAILS_OF_USERS, ADDRESSES_OF_USERS):
            raise InvalidArgument.of("model", "is no model of control that the import's scope takes")
        work = _mark if wanted.phase is Phase.MARK else _undo
        page = self.database.transact(partial(work, region=region, wanted=wanted))
        barrier.reach("undo.committed")
        return page

    def find_references(self, region: str, import_id: int, model: str, pks: Sequence[int]) -> list[StayingRow]:
        """Those of the region's rows that something here refers to, with what. Raises PeerRefused, InvalidArgument."""
        self._check_import(region, import_id)
        known = models().get(model)
        if known is None or known.silo is not Silo.REGION:
            raise InvalidArgument.of("model", "is no model of a region")

        def work(transaction: Transaction) -> list[StayingRow]:
            span = Span(import_id, model, 0, 0)
            undoing.open_given(transaction, pks)
            undoing.find_referred(transaction, span, undo_store.references_to_region(model))
            return list(undoing.page_done(transaction, span).staying)

        return self.database.transact(work)

    def _check_import(self, region: str, import_id: int) -> None:
        check_own("the import", import_id, region, self.number_of(region))


def _begin(transaction: Transaction, wanted: UndoWanted) -> UndonePage:
    newest = undo_store.newest_chunk(transaction, wanted.import_id)
    if newest is None and wanted.expects_rows:
        raise UndoTooLate
    if newest is not None:
        if newest < transaction.now - RETENTION + _MARGIN:
            raise UndoTooLate
        undo_store.keep_ledger(transaction, wanted.import_id)
        undoing.forget_marks(transaction, wanted.import_id)
    return UndonePage(0, (), 0, has_more=False)


def _opened(transaction: Transaction, wanted: UndoWanted) -> tuple[Span, str]:
    """The span and its table, with the page taken and what was changed found out."""
    undo_store.lock_imports(transaction)
    span = Span(wanted.import_id, wanted.model, wanted.after, wanted.through)
    table = undo_store.table_of(wanted.model, wanted.terms)
    undoing.open_page(transaction, span)
    undoing.find_changed(transaction, table)
    undoing.find_told(transaction, wanted.referred)
    return span, table


def _mark(transaction: Transaction, *, region: str, wanted: UndoWanted) -> UndonePage:
    span, table = _opened(transaction, wanted)
    if wanted.model == USER:
        undoing.find_referred(transaction, span, undo_store.references_of_users(region))
        undoing.mark(transaction, span)
        done = undoing.page_done(transaction, span)
    else:
        done = undoing.page_done(transaction, span)
        undo_store.mark_users(transaction, span, table)
    return UndonePage(0, (), done.last, done.has_more)


def _undo(transaction: Transaction, *, region: str, wanted: UndoWanted) -> UndonePage:
    span, table = _opened(transaction, wanted)
    if wanted.model in PARTS_OF_USERS or wanted.model == EMAILS_OF_USERS:
        undo_store.stay_with_users(transaction, span, table)
    undoing.find_referred(transaction, span, undo_store.references_of(transaction, wanted.model, table, region))

    def before(pks: Sequence[int]) -> None:
        if wanted.model == USER:
            undo_store.bury_users(transaction, region, pks)

    done = undoing.undo_page(transaction, span, table, before)
    in_all = undo_store.note_undone(transaction, wanted.import_id, wanted.model, done.undone)
    barrier.reach("undo.in_page")
    return replace(done, in_all=in_all)
