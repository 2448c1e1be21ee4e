"""What operators see and ask of the reconciliation.

A repair that is asked for is only noted here: `work` carries it out, for it may have to call the region. A request is
accepted as a whole or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from control_silo.reconciliation import leases, store
from control_silo.reconciliation.domain import Difference, Reconciliation, Repair, State
from control_silo.reconciliation.store import Query
from shared import audit, requests
from shared.database import Transaction
from shared.errors import DifferenceNotFound, DifferenceNotRepairable, Resource
from shared.requests import Mutation
from shared.rpc import page_token


@dataclass(frozen=True)
class Requested:
    """Which differences will be repaired."""

    ids: tuple[int, ...]


def list_reconciliations(transaction: Transaction, region: str = "") -> list[Reconciliation]:
    """How far each kind of each region, or of one region, has come, by region and kind."""
    return store.list_states(transaction, region)


def list_differences(
    transaction: Transaction, query: Query, *, page_size: int = 0, token: str = ""
) -> tuple[list[Difference], str]:
    """A page of differences by age, and the next page's token, empty at the end.

    Without more in the query: those of all regions that are sure and open. Raises InvalidPageToken, InvalidArgument.
    """
    kind = "" if query.kind is None else query.kind.value
    digest = page_token.query_digest("differences", query.region, kind, query.show_pending, query.show_resolved)
    after_id = page_token.decode_number(token, digest) or 0
    size = page_token.page_size(page_size)
    found = store.list_page(transaction, query, after_id=after_id, limit=size + 1)
    if len(found) <= size:
        return found, ""
    return found[:size], page_token.encode((found[size - 1].id,), digest)


def repair_differences(transaction: Transaction, mutation: Mutation, ids: Sequence[int]) -> list[Difference]:
    """Ask for the repair of exactly these differences, all or none; they as they are now.

    Raises DifferenceNotFound, DifferenceNotRepairable for one that is pending, resolved or has no safe repair,
    RequestIdReused.
    """
    done = requests.once(transaction, mutation, Requested, lambda: _request(transaction, mutation, ids))
    return store.lock(transaction, done.ids)


def difference_name(difference_id: int) -> str:
    """`differences/<id>`."""
    return f"differences/{difference_id}"


def _request(transaction: Transaction, mutation: Mutation, ids: Sequence[int]) -> Requested:
    found = {difference.id: difference for difference in store.lock(transaction, ids)}
    for difference_id in ids:
        resource = Resource("siloway/Difference", difference_name(difference_id))
        difference = found.get(difference_id)
        if difference is None:
            raise DifferenceNotFound(resource=resource)
        if difference.state is not State.DIFFERENT or difference.repair is Repair.NONE:
            metadata = {"state": difference.state.value, "repair": difference.repair.value}
            raise DifferenceNotRepairable(metadata=metadata, resource=resource)
        audit.record(
            transaction,
            action="reconciliation.request_repair",
            target=difference_name(difference_id),
            request_id=mutation.request_id,
            detail={
                "region": difference.region,
                "kind": difference.kind.value,
                "subject": difference.subject,
                "repair": difference.repair.value,
            },
        )
    store.request_repairs(transaction, ids)
    leases.make_due(transaction, sorted({difference.region for difference in found.values()}))
    return Requested(tuple(ids))
