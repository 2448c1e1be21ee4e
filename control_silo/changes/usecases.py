"""Opening, closing and reading changes, together with their request records.

A record is cleaned after its retention, a provision's change never: so a request id stands for its organization for
ever, and a repeat gets the same change however late it comes.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from control_silo.changes import store
from control_silo.changes.domain import ADOPTED, CHANNEL, Change
from shared.cleaner import Task
from shared.database import Transaction
from shared.errors import Aborted, OrganizationChangeNotFound, RequestIdReused, Resource, ServiceError
from shared.requests import Mutation, RequestKey, StoredError, finish, start

Wake = Callable[[str], None]

RETENTION = timedelta(days=30)


def change_name(request_id: str) -> str:
    """`organizationChanges/<request id>`."""
    return f"organizationChanges/{request_id}"


def begin(transaction: Transaction, mutation: Mutation) -> Change | None:
    """Open the request's record, first in the transaction; the change that an earlier call has made, if there is one.

    Raises RequestIdReused, Aborted.
    """
    started = start(transaction, mutation, change_name(mutation.request_id))
    earlier = next(iter(store.find_many(transaction, [mutation.key])), None)
    if earlier is None:
        if not started.first:  # its change was cleaned a moment before its record
            raise Aborted(retry_after_s=1)
        return None
    if earlier.fingerprint not in (ADOPTED, mutation.fingerprint):
        raise RequestIdReused(metadata={"request_id": mutation.request_id})
    if started.first and not earlier.is_running:
        finish(transaction, mutation.key, error=earlier.error)
    return earlier


def open_change(transaction: Transaction, change: Change, wake: Wake | None = None) -> Change:
    """Write a new change; one that is closed already closes its record too."""
    store.add(transaction, change)
    if not change.is_running:
        _finish(transaction, change, wake)
    return change


def close(
    transaction: Transaction,
    change: Change,
    *,
    error: ServiceError | None = None,
    organization_id: int | None = None,
    wake: Wake | None = None,
) -> Change:
    """Close a running change and its record, and tell those who wait."""
    stored = None if error is None else StoredError.of(error)
    closed = change.closed(at=transaction.now, error=stored, organization_id=organization_id)
    store.update(transaction, closed)
    _finish(transaction, closed, wake)
    return closed


def touch(transaction: Transaction, change: Change) -> Change:
    """Write a running change's new plan."""
    changed = replace(change, updated_at=transaction.now)
    store.update(transaction, changed)
    return changed


def get_change(transaction: Transaction, principal: str, request_id: str) -> Change:
    """The change that this principal has asked for under that id. Raises OrganizationChangeNotFound."""
    found = store.find_many(transaction, [RequestKey(principal, request_id)])
    if not found:
        name = change_name(request_id)
        raise OrganizationChangeNotFound(resource=Resource("siloway/OrganizationChange", name))
    return found[0]


def change_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's task: closed changes, but for provisions that made an organization."""
    return (Task("organization_changes", retention, store.clean, store.oldest),)


def _finish(transaction: Transaction, change: Change, wake: Wake | None) -> None:
    finish(transaction, change.key, error=change.error)
    if wake is not None:
        transaction.after_commit(lambda: wake(CHANNEL))
