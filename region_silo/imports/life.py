"""What clients may do with an import that was queued: pause it, let it go on, end it, try again what failed, undo it.

Where a process holds the import, the request only notes what is wanted, and that process does it after the batch at
hand; otherwise it takes effect here. So a lease is taken from nobody in its time, and no batch is cut. An import whose
organizations are being deleted is not gone on with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from region_silo.imports import finding_store, life_store, plan_store, same_file, store
from region_silo.imports.cleaner import RETENTION
from region_silo.imports.domain import (
    DataImport,
    Effect,
    Event,
    State,
    change,
    import_name,
    may_change,
)
from region_silo.imports.reports import visible
from region_silo.imports.resting import conclude, why
from region_silo.slugs.usecases import IMPORTS_CHANNEL
from shared import audit, errors, requests
from shared.database import Database, Transaction
from shared.importing.spool import Spool
from shared.requests import Mutation
from shared.rpc.call import current_caller


@dataclass(frozen=True)
class _Done:
    """What the request record keeps of the answer; the rest is read anew."""

    id: int


@dataclass(frozen=True)
class LifeUseCases:
    """All of them, for one region. `wake(channel)` tells `work` that there is something to do.

    Each raises ImportNotFound, RequestIdReused, and WrongImportState when the import is in no state for it; a repeat
    of the request gets the import as it is by then.
    """

    database: Database
    spool: Spool
    wake: Callable[[str], None] = lambda _: None

    def pause(self, import_id: int, mutation: Mutation) -> DataImport:
        """Pause it after the batch at hand; nothing when it is paused."""
        pause = partial(self._let_rest, state=State.PAUSED, event=Event.PAUSED)
        return self._once(import_id, mutation, "import.pause", pause)

    def resume(self, import_id: int, mutation: Mutation) -> DataImport:
        """Let a paused one go on, or take a pause back; nothing when it runs. Raises ImportTargetGone."""
        return self._once(import_id, mutation, "import.resume", self._resume)

    def cancel(self, import_id: int, mutation: Mutation) -> DataImport:
        """End it for good after the batch at hand; nothing when it is cancelled."""
        end = partial(self._let_rest, state=State.CANCELLED, event=Event.CANCELLED)
        return self._once(import_id, mutation, "import.cancel", end)

    def retry(self, import_id: int, mutation: Mutation, continue_on_error: bool | None) -> DataImport:
        """Take up what failed. Raises ImportTargetGone, SpoolMissing when the file's retention has ended,
        FileBeingImported and PlanApplied when another import does meanwhile what this one was to do.
        """

        def take_up(transaction: Transaction, found: DataImport, leased: bool) -> None:
            del leased  # nobody works on an import that has ended
            self._retry(transaction, found, continue_on_error)

        return self._once(import_id, mutation, "import.retry", take_up)

    def undo(self, import_id: int, mutation: Mutation) -> DataImport:
        """Undo what an import that has ended wrote; nothing when that is under way. Raises ScopeMissing (the caller
        might not make such an import), UndoTooLate when the retention of its ledger has ended, FileBeingImported.
        """
        return self._once(import_id, mutation, "import.undo", self._undo)

    def _once(
        self,
        import_id: int,
        mutation: Mutation,
        action: str,
        act: Callable[[Transaction, DataImport, bool], None],
    ) -> DataImport:
        caller = current_caller()

        def work(transaction: Transaction) -> DataImport:
            def effect() -> _Done:
                visible(transaction, import_id, caller)
                found, leased = life_store.lock(transaction, import_id)
                act(transaction, found, leased)
                target = import_name(import_id)
                detail: dict[str, object] = {"state": found.state.name}
                audit.record(transaction, action=action, target=target, request_id=mutation.request_id, detail=detail)
                transaction.after_commit(lambda: self.wake(IMPORTS_CHANNEL))
                return _Done(import_id)

            done = requests.once(transaction, mutation, _Done, effect, resource=lambda made: import_name(made.id))
            return visible(transaction, done.id, caller)

        return self.database.transact(work)

    def _resume(self, transaction: Transaction, found: DataImport, leased: bool) -> None:
        del leased  # nobody works on a paused import
        if may_change(found.state, Event.PAUSED) and found.wanted is not State.CANCELLED:
            life_store.want(transaction, found.id, None)
            return
        _check(found, Event.RESUMED)
        _check_target(transaction, found)
        life_store.go_on(transaction, found.id, change(found.state, Event.RESUMED)[0])

    def _retry(self, transaction: Transaction, found: DataImport, continue_on_error: bool | None) -> None:
        _check(found, Event.RETRIED)
        if found.is_plan:
            raise errors.WrongImportState("A plan is not retried: plan again.", metadata={"state": found.state.name})
        if found.undo.count:
            raise errors.WrongImportState("Its rows were undone.", metadata={"state": found.state.name})
        if not found.has_file_to_retry:
            raise errors.WrongImportState("Nothing of this import failed.", metadata={"state": found.state.name})
        if not self.spool.holds(found.file_id):
            raise errors.SpoolMissing("The uploaded file is gone: what failed is kept for a time only.")
        same_file.lock_file(transaction, found.sha256, found.scope)
        same_file.refuse_same_file(transaction, found.sha256, found.scope)
        if found.plan_id is not None:
            plan_store.refuse_applied(transaction, found.plan_id, besides=found.id)
        _check_target(transaction, found)
        state, _ = change(found.state, Event.RETRIED)
        on_error = found.continue_on_error if continue_on_error is None else continue_on_error
        # Drifts are of no row that failed: what they are about is decided anew, and compared with the plan again.
        drifts = 0 if found.plan_id is None else finding_store.take_drifts(transaction, found.id)
        life_store.take_up(transaction, found.id, state, on_error, forgotten=drifts)

    def _undo(self, transaction: Transaction, found: DataImport, leased: bool) -> None:
        del leased  # nobody works on an import that has ended
        caller, needed = current_caller(), found.terms.permission
        if needed not in caller.scopes:
            raise errors.ScopeMissing(metadata={"scope": needed, "principal": caller.principal})
        if found.state is State.UNDOING:
            return
        _check(found, Event.UNDO)
        if found.is_plan:
            raise errors.WrongImportState("A plan has written nothing.", metadata={"state": found.state.name})
        if found.ended_at is None or found.ended_at + RETENTION <= transaction.now:
            raise errors.UndoTooLate
        same_file.lock_file(transaction, found.sha256, found.scope)
        same_file.refuse_same_file(transaction, found.sha256, found.scope)
        life_store.begin_undo(transaction, found, change(found.state, Event.UNDO)[0], caller.principal)

    def _let_rest(
        self, transaction: Transaction, found: DataImport, leased: bool, *, state: State, event: Event
    ) -> None:
        if found.state is state:
            return
        _check(found, event)
        if leased:
            life_store.want(transaction, found.id, state)
            return
        _, effects = change(found.state, event)
        life_store.rest(transaction, found.id, store.at_rest(transaction, state, why(state)))
        if Effect.REMOVE_FILE in conclude(transaction, found, state, effects):
            transaction.after_commit(lambda: self.spool.remove(found.file_id))


def _check(found: DataImport, event: Event) -> None:
    is_ending = found.wanted is State.CANCELLED and event is not Event.CANCELLED
    if is_ending or not may_change(found.state, event):
        state = State.CANCELLED if is_ending else found.state
        raise errors.WrongImportState(
            f"{found.name} is {state.name}, so this cannot be done with it.", metadata={"state": state.name}
        )


def _check_target(transaction: Transaction, found: DataImport) -> None:
    if found.is_plan:  # its organizations never were there
        return
    gone = life_store.organization_gone(transaction, found.id)
    if gone is not None:
        raise errors.ImportTargetGone(metadata={"organization": f"organizations/{gone}"})
