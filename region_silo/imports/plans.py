"""What clients may do with a plan: read what it decided, and apply it.

A plan is applied once: a second application is refused while the first one stands or runs. One that has failed, for
what was planned was true no more, may be followed by another as long as the plan lasts.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from region_silo.imports import filter_store, life_store, plan_store, same_file
from region_silo.imports.domain import DataImport, State, import_name
from region_silo.imports.peers import Ids
from region_silo.imports.plan_store import Decided
from region_silo.imports.reports import visible
from region_silo.slugs.usecases import IMPORTS_CHANNEL
from shared import audit, errors, requests
from shared.database import Database, Transaction
from shared.importing.spool import Spool
from shared.requests import Mutation
from shared.rpc.call import current_caller

TakenOut = Mapping[str, Collection[int]]
_NOTHING: TakenOut = {}


@dataclass(frozen=True)
class PlanUseCases:
    """All of them, for one region. `wake(channel)` tells `work` that an import is queued."""

    database: Database
    spool: Spool
    ids: Ids
    wake: Callable[[str], None] = lambda _: None

    def decisions(self, plan_id: int, after: tuple[str, int], only: tuple[str, int], rows_max: int) -> list[Decided]:
        """What is written or found, by model and pk from behind `after`; `only` a model and a decision.

        Raises ImportNotFound, PlanNotReady.
        """
        return self._read(
            plan_id,
            lambda transaction: plan_store.decisions_page(transaction, plan_id, after, only, rows_max),
        )

    def skipped(self, plan_id: int, after_id: int, model: str, rows_max: int) -> list[Decided]:
        """What is left out, from behind the key `after_id`. Raises ImportNotFound, PlanNotReady."""
        return self._read(
            plan_id, lambda transaction: plan_store.skipped_page(transaction, plan_id, after_id, model, rows_max)
        )

    def apply(
        self, plan_id: int, mutation: Mutation, taken_out: Mapping[str, Collection[int]] = _NOTHING
    ) -> DataImport:
        """Queue an import that does what the plan says; a repeat gets the same one. Rows that are `taken_out`, pks by
        model, are left out, and what refers to them.

        Raises InvalidArgument (not a model of the file), ImportNotFound, ScopeMissing,
        PlanNotReady, PlanExpired, PlanApplied, FileBeingImported, SpoolMissing.
        """
        import_id = self.ids.take(1)[0]
        edits = [(model, sorted(pks)) for model, pks in sorted(taken_out.items())]
        asked = replace(mutation, fingerprint=requests.fingerprint(mutation.fingerprint, edits)) if edits else mutation

        def work(transaction: Transaction) -> DataImport:
            visible(transaction, plan_id, current_caller())
            started = requests.start(transaction, asked, import_name(import_id))
            if started.first:
                self._queue(transaction, plan_id, import_id, asked, taken_out)
            return visible(transaction, int(started.resource.removeprefix("imports/")), current_caller())

        return self.database.transact(work)

    def _queue(
        self,
        transaction: Transaction,
        plan_id: int,
        import_id: int,
        mutation: Mutation,
        taken_out: TakenOut,
    ) -> None:
        plan, _ = life_store.lock(transaction, plan_id)
        _check_right(plan)
        _check_ready(plan)
        if plan.expires_at is None or plan.expires_at <= transaction.now:
            raise errors.PlanExpired
        plan_store.refuse_applied(transaction, plan_id)
        same_file.lock_file(transaction, plan.sha256, plan.scope)
        same_file.refuse_same_file(transaction, plan.sha256, plan.scope)
        if not self.spool.holds(plan.file_id):
            raise errors.SpoolMissing("The uploaded file is gone: what a plan needs is kept for a time only.")
        _check_models(plan, taken_out)
        plan_store.insert_application(transaction, import_id, mutation, plan, edited=bool(taken_out))
        for model, pks in taken_out.items():
            filter_store.take_out(transaction, import_id, model, pks)
        audit.record(
            transaction,
            action="import.apply",
            target=import_name(import_id),
            request_id=mutation.request_id,
            detail={
                "plan": plan.name,
                "sha256": plan.sha256,
                "taken_out": sum(len(pks) for pks in taken_out.values()),
            },
        )
        transaction.after_commit(lambda: self.wake(IMPORTS_CHANNEL))

    def _read(self, plan_id: int, read: Callable[[Transaction], list[Decided]]) -> list[Decided]:
        caller = current_caller()

        def work(transaction: Transaction) -> list[Decided]:
            _check_ready(visible(transaction, plan_id, caller))
            return read(transaction)

        return self.database.read(work)


def _check_models(plan: DataImport, taken_out: Collection[str]) -> None:
    unknown = sorted(set(taken_out) - {each.model for each in plan.models})
    if unknown:
        raise errors.InvalidArgument.of("skips.model", f'the file has no rows of "{unknown[0]}"')


def _check_right(plan: DataImport) -> None:
    caller = current_caller()
    if plan.terms.permission not in caller.scopes:
        raise errors.ScopeMissing(metadata={"scope": plan.terms.permission})
    if caller.organization_id is not None:
        raise errors.PermissionDenied("a token that is bound to an organization cannot import")


def _check_ready(plan: DataImport) -> None:
    if not plan.is_plan or plan.state is not State.PLANNED:
        state = plan.state.name if plan.is_plan else "no plan"
        raise errors.PlanNotReady(f"{plan.name} is {state}.", metadata={"state": plan.state.name})
