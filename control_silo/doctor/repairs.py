"""What can be repaired safely in control alone.

Asking a region again is safe because a region answers what it has done before: a provision by its change set, a slug by
its fence version. So whatever is held without a message comes to its end by the region's answer.
"""

from sqlalchemy import text

from control_silo.changes import store as change_store
from control_silo.changes.domain import ChangeKind, key_of
from control_silo.organizations import store as organization_store
from control_silo.provisioning.usecases import send
from control_silo.slugs import store as slug_store
from control_silo.slugs.usecases import enqueue_pairs
from shared.database import Transaction
from shared.delivery import PAIRS_MAX, SlugPair
from shared.doctor.domain import Key
from shared.requests import RequestKey, finish

# What a change set holds in one region is sent together: slugs may change hands within it.
_HELD_TOGETHER = text(
    """
    SELECT slug, organization_id, fence_version FROM slug_reservation
    WHERE holder = :holder AND region = :region AND state = 0 AND organization_id IS NOT NULL
        AND organization_id >= :organization_id
    ORDER BY organization_id LIMIT :rows_max
    """
)
_END_EXPIRED = text(
    "DELETE FROM slug_reservation WHERE slug = :slug AND expires_at <= :now AND (type = 3 OR state = 2)"
)
_PRIMARY = text("SELECT slug, fence_version FROM slug_reservation WHERE organization_id = :id AND type = 0 FOR UPDATE")
_SET_MAPPING = text(
    """
    UPDATE organization_mapping AS mapping SET slug = :slug, updated_at = :now
    WHERE organization_id = :id AND NOT EXISTS (
        SELECT FROM organization_mapping AS other WHERE other.slug = :slug AND other.organization_id <> :id
    )
    """
)

_FORGET_MEMBER = text(
    """
    DELETE FROM organization_membership WHERE organization_id = :id AND member_id = :member_id AND NOT EXISTS (
        SELECT FROM organization_mapping WHERE organization_mapping.organization_id = :id
    )
    """
)
_COUNT_ANNOUNCEMENTS = text(
    """
    UPDATE announcement_counter SET value = greatest(value, (
        SELECT max(number) FROM announcement WHERE announcement.organization_id = :id
    )) WHERE organization_id = :id
    """
)


def ask_again(transaction: Transaction, key: Key) -> bool:
    """Send what a held slug's change set asks of its region once more."""
    (slug,) = key
    held = slug_store.find(transaction, str(slug))
    if held is None:
        return False
    change_key = key_of(held.holder)
    change = None
    if change_key is not None:
        change = change_store.lock(transaction, [change_key]).get(change_key)
        if change is None or not change.is_open:
            return False
    if held.organization_id is None:
        if change is None or change.kind is not ChangeKind.PROVISION or change.plan.asked is None:
            return False
        send(transaction, change, change.plan.asked)
        return True
    organization_store.lock(transaction, [held.organization_id])
    first = 0 if change is not None else held.organization_id
    parameters = {"holder": held.holder, "region": held.region, "organization_id": first}
    rows = transaction.execute(_HELD_TOGETHER, {**parameters, "rows_max": PAIRS_MAX if change is not None else 1})
    pairs = [SlugPair(row.organization_id, row.slug, row.fence_version) for row in rows]
    if not pairs:
        return False
    aggregate = f"{held.holder}/{held.region}" if len(pairs) > 1 else f"{held.holder}/{pairs[0].organization_id}"
    enqueue_pairs(transaction, held.region, held.holder, aggregate, pairs)
    return True


def close_record(transaction: Transaction, key: Key) -> bool:
    """Close the record of a request whose change is closed; one without a change is left to people."""
    principal, request_id = (str(part) for part in key)
    found = change_store.lock(transaction, [RequestKey(principal, request_id)])
    for change_key, change in found.items():
        if not change.is_running:
            finish(transaction, change_key, error=change.error)
            return True
    return False


def set_mapping_slug(transaction: Transaction, key: Key) -> bool:
    """Give a mapping the slug that its organization holds; a missing one or another region is left to people."""
    (organization_id,) = key
    assert isinstance(organization_id, int), "a mapping's key is a number"
    organization_store.lock(transaction, [organization_id])
    held = transaction.execute(_PRIMARY, {"id": organization_id}).one_or_none()
    if held is None:
        return False
    parameters = {"id": organization_id, "slug": held.slug, "now": transaction.now}
    return transaction.execute(_SET_MAPPING, parameters).rowcount == 1


def end_expired(transaction: Transaction, key: Key) -> bool:
    """Delete a redirect or quarantine whose time is over."""
    return transaction.execute(_END_EXPIRED, {"slug": key[0], "now": transaction.now}).rowcount == 1


def count_announcements(transaction: Transaction, key: Key) -> bool:
    """Let an organization's announcements be counted on from the highest number that it has."""
    return transaction.execute(_COUNT_ANNOUNCEMENTS, {"id": key[0]}).rowcount == 1


def forget_member(transaction: Transaction, key: Key) -> bool:
    """Delete a member from the mirror whose organization control does not know: its region tells of it again."""
    organization_id, member_id = key
    return transaction.execute(_FORGET_MEMBER, {"id": organization_id, "member_id": member_id}).rowcount == 1
