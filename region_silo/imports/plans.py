"""What clients may do with a plan: read what it decided, and apply it.

A plan is applied once: a second application is refused while the first one stands or runs. One that has failed, for
what was planned was true no more, may be followed by another as long as the plan lasts.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from region_silo.imports import choice_store, filter_store, life_store, plan_store, same_file
from region_silo.imports.domain import DataImport, State, import_name
from region_silo.imports.edits import NO_EDITS, PlanEdits
from region_silo.imports.peers import Ids
from region_silo.imports.plan_store import Decided
from region_silo.imports.reports import visible
from region_silo.slugs.usecases import IMPORTS_CHANNEL
from shared import audit, errors, requests
from shared.database import Database, Transaction
from shared.importing.spool import Spool
from shared.requests import Mutation
from shared.rpc.call import current_caller

_OPERATE = "silo:operate"


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

    def apply(self, plan_id: int, mutation: Mutation, edits: PlanEdits = NO_EDITS) -> DataImport:
        """Queue an import that does what the plan says with its edits; a repeat gets the same one.

        Raises InvalidArgument (not a model or a row of the plan, a policy that the model does not know, two wishes for
        one row), ImportNotFound, ScopeMissing, PlanNotReady, PlanExpired, PlanApplied, FileBeingImported, SpoolMissing.
        """
        edits.check()
        import_id = self.ids.take(1)[0]
        told = requests.fingerprint(mutation.fingerprint, *edits.told())
        asked = replace(mutation, fingerprint=told) if edits else mutation

        def work(transaction: Transaction) -> DataImport:
            visible(transaction, plan_id, current_caller())
            started = requests.start(transaction, asked, import_name(import_id))
            if started.first:
                self._queue(transaction, plan_id, import_id, asked, edits)
            return visible(transaction, int(started.resource.removeprefix("imports/")), current_caller())

        return self.database.transact(work)

    def _queue(
        self,
        transaction: Transaction,
        plan_id: int,
        import_id: int,
        mutation: Mutation,
        edits: PlanEdits,
    ) -> None:
        plan, _ = life_store.lock(transaction, plan_id)
        _check_right(_OPERATE if edits.merges_users else plan.terms.permission)
        _check_ready(plan)
        if plan.expires_at is None or plan.expires_at <= transaction.now:
            raise errors.PlanExpired
        plan_store.refuse_applied(transaction, plan_id)
        same_file.lock_file(transaction, plan.sha256, plan.scope)
        same_file.refuse_same_file(transaction, plan.sha256, plan.scope)
        if not self.spool.holds(plan.file_id):
            raise errors.SpoolMissing("The uploaded file is gone: what a plan needs is kept for a time only.")
        taken_out = edits.taken_out
        _check_models(plan, taken_out)
        plan_store.insert_application(transaction, import_id, mutation, plan, edited=bool(edits))
        for model, pks in taken_out.items():
            filter_store.take_out(transaction, import_id, model, pks)
        chosen = _choose(transaction, plan_id, import_id, edits)
        audit.record(
            transaction,
            action="import.apply",
            target=import_name(import_id),
            request_id=mutation.request_id,
            detail={
                "plan": plan.name,
                "sha256": plan.sha256,
                "taken_out": sum(len(pks) for pks in taken_out.values()),
                "chosen": chosen,
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


def _choose(transaction: Transaction, plan_id: int, import_id: int, edits: PlanEdits) -> int:
    """Keep the policies of rows; returns of how many. Raises InvalidArgument for one that the plan does not have."""
    pks: dict[str, list[int]] = {}
    for _, _, model, pk, _ in edits.chosen():
        pks.setdefault(model, []).append(pk)
    found = {model: choice_store.places(transaction, plan_id, model, wanted) for model, wanted in pks.items()}
    policies: dict[str, dict[int, int]] = {}
    for part, place, model, pk, policy in edits.chosen():
        if pk not in found[model]:
            reason = f"{model} {pk} is no row of the plan that a policy can be chosen for"
            raise errors.InvalidArgument.of(f"policies[{part}].pks[{place}]", reason)
        policies.setdefault(model, {})[found[model][pk]] = policy
    for model, chosen in policies.items():
        choice_store.insert(transaction, import_id, model, chosen)
    return sum(map(len, policies.values()))


def _check_right(scope: str) -> None:
    caller = current_caller()
    if scope not in caller.scopes:
        raise errors.ScopeMissing(metadata={"scope": scope})
    if caller.organization_id is not None:
        raise errors.PermissionDenied("a token that is bound to an organization cannot import")


def _check_ready(plan: DataImport) -> None:
    if not plan.is_plan or plan.state is not State.PLANNED:
        state = plan.state.name if plan.is_plan else "no plan"
        raise errors.PlanNotReady(f"{plan.name} is {state}.", metadata={"state": plan.state.name})
