"""Declaring a region lost, taking it back, and what others must ask before they hold something for a region.

From the declaration's commit on nothing is held for the region, none of what was held will be applied by a message of
control's, and the region itself is refused at the internal door.
"""

from collections.abc import Callable

from control_silo.recovery import domain, store
from control_silo.recovery.domain import Recovery
from shared import audit
from shared.database import Database, Transaction
from shared.errors import NotFound, PeerRefused, RegionLost, Resource
from shared.outbox import operating
from shared.outbox.registry import Registry
from shared.rpc.call import Caller


def declare_lost(transaction: Transaction, registry: Registry, *, region: str, request_id: str) -> Recovery:
    """End the region's holds, raise its fence, refuse its calls. A repeat ends what was held since. Raises NotFound."""
    presence = store.lock(transaction, region)
    if presence is None:
        raise _not_found(region)
    fence = max(presence.fence, store.highest_fence(transaction, region)) + 1
    lost_at = presence.lost_at or transaction.now
    released = store.release_held(transaction, region)
    skipped = operating.skip_queued(
        transaction, registry, target=region, categories=domain.HOLD_CATEGORIES, reason=domain.SKIP_REASON
    )
    store.write(transaction, region, lost_at=lost_at, fence=fence)
    audit.record(
        transaction,
        action="region.declare_lost",
        target=f"regions/{region}",
        request_id=request_id,
        detail={"fence": fence, "released_slugs": released, "skipped_messages": skipped},
    )
    return Recovery(region, lost_at, fence, released, skipped)


def recover(transaction: Transaction, *, region: str, request_id: str) -> Recovery:
    """Let the region call again; one that is not lost stays as it is. Raises NotFound."""
    presence = store.lock(transaction, region)
    if presence is None:
        raise _not_found(region)
    if presence.lost_at is not None:
        store.write(transaction, region, lost_at=None, fence=presence.fence)
        audit.record(
            transaction,
            action="region.recover",
            target=f"regions/{region}",
            request_id=request_id,
            detail={"fence": presence.fence},
        )
    return Recovery(region, None, presence.fence)


def fence_of(transaction: Transaction, region: str) -> int:
    """What a new hold's fence version must be above; until the end the region cannot be declared lost.

    Raises PeerRefused for a region that is lost, or that the directory does not know.
    """
    presence = store.keep(transaction, region)
    if presence is None:
        raise PeerRefused(f"the directory knows no region {region}", metadata={"region": region})
    if presence.lost_at is not None:
        raise _refusal(region)
    return presence.fence


def fence_for_change(transaction: Transaction, region: str) -> int:
    """As `fence_of`, for what a client asks. Raises RegionLost."""
    try:
        return fence_of(transaction, region)
    except PeerRefused as refusal:
        raise RegionLost(metadata={"region": region}) from refusal


def refuse_lost(database: Database) -> Callable[[Caller], None]:
    """For the internal door: refuses the calls of regions that are lost, from the declaration's commit on."""

    def admit(caller: Caller) -> None:
        region = caller.silo or ""
        presence = database.read(lambda transaction: store.read(transaction, region))
        if presence is not None and presence.lost_at is not None:
            raise _refusal(region)

    return admit


def _refusal(region: str) -> PeerRefused:
    text = f"region {region} was declared lost; it may call again when an operator has recovered it"
    return PeerRefused(text, metadata={"region": region})


def _not_found(region: str) -> NotFound:
    return NotFound(f"there is no region {region}", resource=Resource("siloway/Region", f"regions/{region}"))
