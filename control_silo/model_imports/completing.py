"""Completes an import's users when all is written that its file says of them: who lacks an own address gets one.

The region is believed in nothing that control knows itself: the import's id must carry the region's number, and the
principal's scopes are read here. Only users of that import's ledger are looked at, page by page, each in a short
transaction. A page that comes again finds nothing to do, so nothing has to be remembered of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from control_silo.model_imports import own_addresses, undo_store
from control_silo.model_imports.granted import check_scope
from control_silo.model_imports.plans import enter_plan
from control_silo.regions.own_ids import check_own
from shared import barrier
from shared.database import Database, Transaction
from shared.importing.handover import CompletedUsers, UsersToComplete


@dataclass(frozen=True)
class CompletingUseCases:
    """`scopes_of(principal, time)`: what it might do then, nothing once gone. `number_of(region)`: None if unknown.

    One call does `pages_max` transactions of `rows_max` users at most.
    """

    database: Database
    scopes_of: Callable[[str, datetime], frozenset[str]]
    number_of: Callable[[str], int | None]
    rows_max: int = 5000
    pages_max: int = 4

    def complete_users(self, region: str, wanted: UsersToComplete) -> CompletedUsers:
        """Give the next users of the import the own addresses that they lack.

        Raises PeerRefused (not the region's import), ScopeMissing, PlanExpired (the plan's rows are gone),
        DeadlineExceeded between two pages: what is done by then stands. Source: spec imports.md 10.
        """
        begun = check_own("the import", wanted.import_id, region, self.number_of(region))
        check_scope(self.scopes_of(wanted.principal, begun.time), wanted.terms.permission, wanted.principal)
        done = CompletedUsers(wanted.after, has_more=True)
        for _ in range(self.pages_max):
            done = self.database.transact(partial(self._page, wanted=wanted, after=done.last))
            barrier.reach("model_import.completed_page")
            if not done.has_more:
                break
        return done

    def _page(self, transaction: Transaction, *, wanted: UsersToComplete, after: int) -> CompletedUsers:
        undo_store.share_imports(transaction)
        last, count = own_addresses.page_of_users(transaction, wanted.import_id, after, self.rows_max)
        if count:
            if wanted.planned:
                enter_plan(transaction, wanted.import_id)
            own_addresses.make_in_span(transaction, wanted.import_id, after, last, planned=wanted.planned)
        return CompletedUsers(last, has_more=count == self.rows_max)
