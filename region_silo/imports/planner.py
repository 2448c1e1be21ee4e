"""What surrounds the writing when an import is a plan, or applies one.

A plan is written as an import is, in a schema of its own in each silo. When all its rows are decided, slugs are held
for its organizations, the schemas go, and what stays is the ledger. An import that applies a plan holds the same slugs
again before it writes anything; the slug that somebody else has meanwhile is told as a drift.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from region_silo.imports import plan_store, store
from region_silo.imports.domain import DataImport, Effect, Event, State, change, import_name
from region_silo.imports.resting import request_key
from region_silo.imports.store import Lease
from region_silo.imports.targets import TABLES
from shared import errors, requests
from shared.database import Database, Transaction
from shared.importing import planning
from shared.importing.decisions import BatchFinding, WriteKind
from shared.importing.drift import DriftedError
from shared.importing.registry import ORGANIZATION

_SLUGS_A_CALL = 1000


class PlanPeer(Protocol):
    """What plans ask of control. All raise PeerUnavailable and the like when control cannot be reached."""

    def hold_slugs(self, plan: str, base_slugs: list[str], *, afresh: bool, seconds: int) -> list[str]:
        """A free slug for each; `afresh` ends what was held for the plan before."""
        ...

    def hold_exactly(self, plan: str, slugs: list[str], *, seconds: int) -> list[str]:
        """Go on holding these; "" for one that somebody else has."""
        ...

    def forget_plan(self, plan: str) -> None:
        """Drop the plan's rows in control."""
        ...


class Planner:
    """One process's part in plans; a plan can be applied for `keep_s`."""

    def __init__(self, database: Database, control: PlanPeer, keep_s: int, lease_s: float) -> None:
        self._database = database
        self._control = control
        self._keep_s = keep_s
        self._lease_s = lease_s

    def finish(self, lease: Lease, plan: DataImport) -> None:
        """Every row is decided: hold the slugs, drop the rows. Raises LeaseLostError and what control refuses."""
        self._hold(lease, plan)
        self._control.forget_plan(plan.name)
        state, effects = change(State.PLANNING, Event.PLANNED)

        def work(transaction: Transaction) -> None:
            store.end(transaction, lease, state, None)
            plan_store.set_expiry(transaction, plan.id, transaction.now + timedelta(seconds=self._keep_s))
            planning.drop(transaction, plan.id)
            if Effect.CLOSE_REQUEST in effects:
                requests.finish(transaction, request_key(plan), error=None)

        self._database.transact(work)

    def begin_application(self, lease: Lease, data_import: DataImport) -> None:
        """Hold the plan's slugs again for its application. Raises DriftedError, and as `finish`."""
        assert data_import.plan_id is not None, "it applies a plan"
        plan_id, after_pk = data_import.plan_id, 0
        drifted: list[BatchFinding] = []
        while page := self._database.read(
            lambda transaction: plan_store.slugs_page(transaction, plan_id, after_pk, _SLUGS_A_CALL)  # noqa: B023
        ):
            self._renew(lease)
            wanted = [each.slug for each in page]
            held = self._control.hold_exactly(import_name(plan_id), wanted, seconds=self._keep_s)
            drifted += [_taken(each) for each, slug in zip(page, held, strict=True) if slug != each.slug]
            after_pk = page[-1].old_pk
        if drifted:
            raise DriftedError(drifted)

    def _hold(self, lease: Lease, plan: DataImport) -> None:
        after_id = 0
        while page := self._organizations(plan, after_id):
            self._renew(lease)
            wanted = [base_slug for _, base_slug in page]
            held = self._control.hold_slugs(plan.name, wanted, afresh=after_id == 0, seconds=self._keep_s)
            slugs = [(organization_id, slug) for (organization_id, _), slug in zip(page, held, strict=True)]
            self._held(lease, lambda transaction: plan_store.set_slugs(transaction, plan.id, slugs))  # noqa: B023
            after_id = page[-1][0]

    def _organizations(self, plan: DataImport, after_id: int) -> list[tuple[int, str]]:
        def work(transaction: Transaction) -> list[tuple[int, str]]:
            if not planning.look(transaction, plan.id):
                raise errors.PlanExpired
            return plan_store.planned_organizations(transaction, after_id, _SLUGS_A_CALL)

        return self._database.read(work)

    def _renew(self, lease: Lease) -> None:
        self._held(lease, lambda _transaction: None)

    def _held(self, lease: Lease, work: Callable[[Transaction], None]) -> None:
        def held(transaction: Transaction) -> None:
            store.renew(transaction, lease, self._lease_s)
            work(transaction)

        self._database.transact(held)


def begin_plan(transaction: Transaction, plan: DataImport, *, goes_on: bool) -> None:
    """Make the schema of a plan, or look whether it is there still. Raises PlanExpired."""
    if not goes_on:
        planning.enter(transaction, plan.id, TABLES)
    elif not planning.look(transaction, plan.id):
        raise errors.PlanExpired


def _taken(planned: plan_store.PlannedSlug) -> BatchFinding:
    reason = f'the plan says: its slug is "{planned.slug}"; now: somebody else has that slug'
    return BatchFinding.of_write(
        WriteKind.DRIFTED.value,
        ORGANIZATION,
        planned.ordinal,
        planned.old_pk,
        field="slug",
        reason=reason,
        skipped=True,
    )
