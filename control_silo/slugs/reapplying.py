"""Sending a PRIMARY slug to its region once more, when that was found to have another one for the organization."""

import uuid

from control_silo.organizations import store as organization_store
from control_silo.recovery.usecases import fence_of
from control_silo.slugs import store
from control_silo.slugs.usecases import queue
from shared.database import Transaction
from shared.delivery import SlugPair
from shared.errors import PeerRefused


def reapply_slug(transaction: Transaction, organization_id: int, region: str, *, fence_seen: int) -> bool:
    """Queue the organization's PRIMARY slug under a fence version above all that control or the region know of.

    False, and nothing is queued, while a change of the slug runs, without such a slug, or for a region that is lost.
    The region's answer changes nothing in control: the slug is the organization's already.
    """
    if organization_store.lock(transaction, [organization_id]).get(organization_id) != region:
        return False
    try:
        fence = fence_of(transaction, region)
    except PeerRefused:
        return False
    holding = store.read_holdings(transaction, [organization_id])[organization_id].above(max(fence, fence_seen))
    if holding.primary is None or holding.is_pending:
        return False
    fence_version = holding.fence_version + 1
    store.raise_fence(transaction, holding.primary, fence_version)
    organization_store.raise_fence(transaction, organization_id, fence_version)
    change_set = f"reconciliations/{uuid.uuid4()}"
    queue(transaction, region, change_set, [SlugPair(organization_id, holding.primary, fence_version)])
    return True
