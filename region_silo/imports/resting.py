"""What ends the work on an import short of its success: errors, a pause, a cancel.

It is recorded in the transaction of the batch that it comes with, together with the request's end.
"""

from region_silo.imports import store
from region_silo.imports.domain import DataImport, Effect, Event, State, after_batch, change
from region_silo.imports.store import Lease
from shared import errors, requests
from shared.database import Transaction
from shared.importing import planning
from shared.requests import RequestKey, StoredError


class RestedError(Exception):
    """The import rests, and its lease is given back; nothing is to be done but what `effects` say."""

    def __init__(self, state: State, effects: frozenset[Effect]) -> None:
        self.state = state
        self.effects = effects
        super().__init__(state.name)


def rest(transaction: Transaction, lease: Lease, data_import: DataImport, state: State, event: Event) -> RestedError:
    """Record the event in `state` and give the lease back; raise what it returns after the commit. Raises
    LeaseLostError.
    """
    following, effects = change(state, event)
    store.end(transaction, lease, following, why(following))
    return RestedError(following, conclude(transaction, data_import, following, effects))


def conclude(
    transaction: Transaction, data_import: DataImport, state: State, effects: frozenset[Effect]
) -> frozenset[Effect]:
    """What belongs to the rest in `state`, in its transaction; what is left of `effects` is done behind the commit.

    A file that another import needs, for both have it of one plan, stays.
    """
    if Effect.CLOSE_REQUEST in effects:
        requests.finish(transaction, request_key(data_import), error=why(state))
    if data_import.is_plan and state is State.CANCELLED:
        planning.drop(transaction, data_import.id)
    if Effect.REMOVE_FILE in effects:
        file_id = int(data_import.file_id)
        having = store.with_file(transaction, [file_id]).get(file_id, [])
        if any(each.needs_file for each in having if each.id != data_import.id):
            effects -= {Effect.REMOVE_FILE}
    return effects


def rest_if_wanted(
    transaction: Transaction, lease: Lease, data_import: DataImport, state: State, wanted: State | None
) -> RestedError | None:
    """`rest` when somebody asked for it, where no batch is at hand."""
    event = after_batch(wanted, 0, data_import.continue_on_error)
    return None if event is None else rest(transaction, lease, data_import, state, event)


def why(state: State) -> StoredError | None:
    """What an import that rests in that state tells as its error."""
    match state:
        case State.STOPPED:
            return StoredError.of(errors.ImportStopped())
        case State.CANCELLED:
            return StoredError.of(errors.ImportCancelled())
        case _:
            return None


def request_key(data_import: DataImport) -> RequestKey:
    """The request that made the import."""
    return RequestKey(data_import.principal, data_import.request_id)
