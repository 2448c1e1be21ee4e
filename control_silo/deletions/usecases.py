"""Asking for an organization's deletion and taking that back, telling its region, and hearing that nothing is left.

Both requests are one transaction under the mapping's lock, so they take turns with renames, swaps and the purge. A
slug change that runs is finished first: the purge waits for it, and none begins on an organization that is to go.
"""

from collections.abc import Mapping as Rows
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from control_silo.deletions import domain, store
from control_silo.deletions.domain import Deletions, Refusal
from control_silo.organizations import store as organization_store
from control_silo.organizations.domain import Mapping
from control_silo.organizations.usecases import check_kept, not_found, resolve_to_change
from shared import audit, barrier, delivery
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.errors import (
    InvalidArgument,
    OrganizationDeleting,
    OrganizationNotDeleted,
    PeerRefused,
    Resource,
    ScopeMissing,
)
from shared.names import Key, organization_name
from shared.outbox import enqueue, tombstones
from shared.outbox.domain import Message, SubjectState
from shared.requests import Mutation, once
from shared.rpc.call import current_caller

OPERATE = "silo:operate"


@dataclass(frozen=True)
class Deletion:
    """A wish. `grace` None means the silo's setting."""

    organization: Key
    grace: timedelta | None = None


def preview(transaction: Transaction, wish: Deletion, settings: Deletions) -> Mapping:
    """The organization as `delete` would leave it. Raises as that does; nothing is changed."""
    return _deleted(transaction, resolve_to_change(transaction, wish.organization), wish, settings)


def delete(transaction: Transaction, mutation: Mutation, wish: Deletion, settings: Deletions) -> Mapping:
    """Mark the organization for deletion after the grace time and tell its region; a repeat gets the first answer.

    One that an import is writing may be deleted too. Raises OrganizationNotFound, also when the caller
    may not change it, ScopeMissing and InvalidArgument for a grace time, OrganizationPendingDeletion,
    OrganizationDeleting, RequestIdReused.
    """

    def work() -> Mapping:
        deleted = _deleted(transaction, _lock(transaction, wish.organization), wish, settings)
        return _write(transaction, deleted, mutation, "organization.delete")

    return once(transaction, mutation, Mapping, work, resource=_name)


def undelete(transaction: Transaction, mutation: Mutation, organization: Key) -> Mapping:
    """Keep the organization after all and tell its region; a repeat gets the first answer.

    Raises OrganizationNotFound, OrganizationNotDeleted, OrganizationDeleting from the purge time on,
    RequestIdReused.
    """

    def work() -> Mapping:
        found = _lock(transaction, organization)
        decided = domain.undelete(found.deletion, found.purge_at, transaction.now)
        resource = Resource("siloway/Organization", organization_name(found.organization_id))
        if decided is Refusal.NOT_DELETED:
            raise OrganizationNotDeleted(resource=resource)
        if isinstance(decided, Refusal):
            raise OrganizationDeleting(resource=resource)
        kept = replace(found, deletion=decided, deleted_at=None, purge_at=None, updated_at=transaction.now)
        return _write(transaction, kept, mutation, "organization.undelete")

    return once(transaction, mutation, Mapping, work, resource=_name)


def apply_gone(transaction: Transaction, *, region: str, messages: Sequence[Message]) -> None:
    """The outbox's handler of what is there no more: its mapping is GONE, and `work` ends all that control holds.

    The region owns the rows, so this holds whether the deletion was asked for here or not. An organization that control
    has forgotten already is no news. Raises PeerRefused for another region's.
    """
    ids = sorted(int(message.subject) for message in messages)
    known = organization_store.lock(transaction, ids)
    if any(owner != region for owner in known.values()):
        raise PeerRefused("an organization is not this region's", metadata={"region": region})
    for organization_id in sorted(known):
        found = organization_store.find_by_id(transaction, organization_id)
        assert found is not None, "a mapping that is locked is there"
        store.set_stage(
            transaction,
            organization_id,
            DeletionStage.GONE,
            deleted_at=found.deleted_at or transaction.now,
            purge_at=found.purge_at or transaction.now,
        )
    barrier.reach("deletion.heard")


def tell_region(transaction: Transaction, organization_id: int, region: str) -> None:
    """Send the region the stage, as it is then."""
    enqueue(
        transaction,
        target=region,
        aggregate=organization_name(organization_id),
        category=delivery.ORGANIZATION_DELETION,
        subject=str(organization_id),
    )


class DeletionSource:
    """Reads the stages that the outbox's deletion messages stand for."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Rows[str, SubjectState]:
        """The stage of each organization by its id as text; a forgotten one answers from its tombstone."""
        stages = store.read_stages(transaction, [int(subject) for subject in subjects])
        states = dict(tombstones.read(transaction, delivery.ORGANIZATION_DELETION, subjects))
        for organization_id, found in stages.items():
            # A region that has nothing left has no stage to be told; it hears of it when control has forgotten it.
            stage = min(found.stage, DeletionStage.DELETING)
            told = delivery.OrganizationDeletion(stage, found.purge_at)
            states[str(organization_id)] = (found.version, False, delivery.encode(told))
        return states


def _deleted(transaction: Transaction, found: Mapping, wish: Deletion, settings: Deletions) -> Mapping:
    check_kept(found)
    grace = settings.grace
    if wish.grace is not None:
        if OPERATE not in current_caller().scopes:
            raise ScopeMissing(f"A grace time of one's own needs the scope {OPERATE}.", metadata={"scope": OPERATE})
        if wish.grace < timedelta():
            raise InvalidArgument.of("grace", "must not be negative")
        grace = wish.grace
    now = transaction.now
    return replace(found, deletion=DeletionStage.PENDING, deleted_at=now, purge_at=now + grace, updated_at=now)


def _write(transaction: Transaction, changed: Mapping, mutation: Mutation, action: str) -> Mapping:
    store.set_stage(
        transaction,
        changed.organization_id,
        changed.deletion,
        deleted_at=changed.deleted_at,
        purge_at=changed.purge_at,
    )
    tell_region(transaction, changed.organization_id, changed.region)
    audit.record(
        transaction,
        action=action,
        target=organization_name(changed.organization_id),
        organization_id=changed.organization_id,
        request_id=mutation.request_id,
        detail={
            "slug": changed.slug,
            "region": changed.region,
            "purge_time": None if changed.purge_at is None else changed.purge_at.isoformat(),
        },
    )
    barrier.reach("deletion.written")
    return replace(changed, deletion_version=changed.deletion_version + 1)


def _lock(transaction: Transaction, key: Key) -> Mapping:
    found = resolve_to_change(transaction, key)
    organization_store.lock(transaction, [found.organization_id])
    held = organization_store.find_by_id(transaction, found.organization_id)
    if held is None:
        raise not_found(key)
    return held


def _name(mapping: Mapping) -> str:
    return organization_name(mapping.organization_id)
