"""Opening, closing and reading changes, together with their request records.

A record is cleaned after its retention, a provision's change never: so a request id stands for its organization for
ever, and a repeat gets the same change however late it comes. Each change stands in the audit of its organizations.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from control_silo.changes import store
from control_silo.changes.domain import ADOPTED, CHANNEL, Change, ChangeKind
from shared import audit
from shared.cleaner import Task
from shared.database import Transaction
from shared.errors import Aborted, OrganizationChangeNotFound, RequestIdReused, Resource, ServiceError
from shared.names import organization_name
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
    if change.kind is ChangeKind.RENAME and change.organization_id is not None:
        _audit(transaction, "slug.rename", change, change.organization_id, {"slug": change.slug})
    for move in change.plan.moves:
        _audit(transaction, "slug.swap", change, move.organization_id, {"slug": move.slug, "former": move.former})
    if not change.is_running:
        _finish(transaction, change, wake)
    return change


def close(
    transaction: Transaction,
    change: Change,
    *,
    error: ServiceError | StoredError | None = None,
    organization_id: int | None = None,
    wake: Wake | None = None,
) -> Change:
    """Close an open change and its record, and tell those who wait."""
    stored = StoredError.of(error) if isinstance(error, ServiceError) else error
    closed = change.closed(at=transaction.now, error=stored, organization_id=organization_id)
    store.update(transaction, closed)
    _finish(transaction, closed, wake, was_given_up=change.plan.parked)
    if closed.kind is ChangeKind.PROVISION and closed.organization_id is not None:
        detail: dict[str, object] = {"slug": closed.slug, "region": closed.region}
        _audit(transaction, "organization.provision", closed, closed.organization_id, detail)
    return closed


def give_up(transaction: Transaction, change: Change, error: ServiceError, wake: Wake | None = None) -> Change:
    """A message of the change was parked: it and its record are FAILED; what it holds stays held until it is ended."""
    given_up = change.given_up(at=transaction.now, error=StoredError.of(error))
    store.update(transaction, given_up)
    _finish(transaction, given_up, wake)
    return given_up


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
    """The cleaner's task: closed changes, but for provisions that made an organization, and what is parked."""
    return (Task("organization_changes", retention, store.clean, store.oldest),)


def _audit(
    transaction: Transaction, action: str, change: Change, organization_id: int, detail: dict[str, object]
) -> None:
    """Renames and swaps are told when they are asked for, provisions when there is an organization to tell it of."""
    audit.record(
        transaction,
        action=action,
        target=organization_name(organization_id),
        organization_id=organization_id,
        request_id=change.key.request_id,
        principal=change.key.principal,
        detail=detail,
    )


def _finish(transaction: Transaction, change: Change, wake: Wake | None, *, was_given_up: bool = False) -> None:
    finish(transaction, change.key, error=change.error, was_given_up=was_given_up)
    if wake is not None:
        transaction.after_commit(lambda: wake(CHANNEL))
