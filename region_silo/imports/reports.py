"""What an import shows of itself, and to whom: counts, organizations, how fast it goes."""

from datetime import timedelta

from region_silo.imports import chunk_store, organization_store, store
from region_silo.imports.domain import DataImport, ImportReport, Pace, State, import_name, seconds_left
from shared import errors
from shared.database import Transaction
from shared.importing.decisions import Counts
from shared.rpc.call import Caller

_OPERATE = "silo:operate"
_ORGANIZATIONS_SHOWN = 100
_PACE = timedelta(seconds=30)


def visible(transaction: Transaction, import_id: int, caller: Caller) -> DataImport:
    """The import, if the caller may see it. Raises ImportNotFound."""
    found = store.find(transaction, import_id)
    if found is None or (found.principal != caller.principal and _OPERATE not in caller.scopes):
        raise errors.ImportNotFound(resource=errors.Resource("siloway/Import", import_name(import_id)))
    return found


def report(transaction: Transaction, found: DataImport) -> ImportReport:
    """The import with what is counted and made so far."""
    counts = chunk_store.counts_by_model(transaction, found.id)
    organizations = organization_store.made_by(transaction, found.id, _ORGANIZATIONS_SHOWN)
    by_model = tuple((total, counts.get(total.model, Counts())) for total in found.models)
    return ImportReport(found, by_model, tuple(organizations), pace_of(transaction, found))


def pace_of(transaction: Transaction, found: DataImport) -> Pace:
    """How fast the import goes, by what it has written of late."""
    since = max(transaction.now - _PACE, found.went_on_at or transaction.now)
    elapsed_s = (transaction.now - since).total_seconds()
    if found.state is not State.WRITING or elapsed_s <= 0:
        return Pace()
    rate = chunk_store.rows_since(transaction, found.id, since) / elapsed_s
    return Pace(rate, seconds_left(found.state, found.object_count - found.done_count, rate))
