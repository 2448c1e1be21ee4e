"""Declaring a region lost.

From the declaration's commit on nothing is held for the region, none of what was held will be applied by a message of
control's, no change waits for the region, and the region itself is refused at the internal door.
"""

from control_silo.changes import store as change_store
from control_silo.changes import usecases as changes
from control_silo.changes.domain import ChangeKind
from control_silo.recovery import domain, store
from control_silo.recovery.domain import Recovery
from control_silo.recovery.usecases import not_found
from control_silo.slugs import store as slug_store
from control_silo.slugs.swaps import without_region
from shared import audit
from shared.database import Transaction
from shared.errors import RegionLost
from shared.outbox import operating
from shared.outbox.registry import Registry


def declare_lost(transaction: Transaction, registry: Registry, *, region: str, request_id: str) -> Recovery:
    """End the region's holds and changes, raise its fence, refuse its calls. A repeat ends what was held since.

    Provisions and renames that wait for it FAILED with REGION_LOST. A swap goes on without it: what control has decided
    counts. Raises NotFound.
    """
    presence = store.lock(transaction, region)
    if presence is None:
        raise not_found(region)
    fence = max(presence.fence, store.highest_fence(transaction, region)) + 1
    lost_at = presence.lost_at or transaction.now
    skipped = operating.skip_queued(
        transaction, registry, target=region, categories=domain.HOLD_CATEGORIES, reason=domain.SKIP_REASON
    )
    ended = _end_changes(transaction, region)
    held = store.end_holds(transaction, region)
    slug_store.release(transaction, held)
    store.write(transaction, region, lost_at=lost_at, fence=fence)
    audit.record(
        transaction,
        action="region.declare_lost",
        target=f"regions/{region}",
        request_id=request_id,
        detail={
            "fence": fence,
            "released_slugs": len(held),
            "skipped_messages": skipped,
            "ended_changes": ended,
        },
    )
    return Recovery(region, lost_at, fence, len(held), skipped)


def _end_changes(transaction: Transaction, region: str) -> int:
    waiting = change_store.lock_open(transaction, region)
    for change in waiting:
        if change.kind is ChangeKind.SWAP:
            without_region(transaction, change, region)
        else:
            changes.close(transaction, change, error=RegionLost(metadata={"region": region}))
    return len(waiting)
