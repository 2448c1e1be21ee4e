"""Taking a lost region back, and what others must ask before they hold something for a region.

While a region is lost nothing is held for it, and it is refused at the internal door.
"""

from collections.abc import Callable

from control_silo.recovery import store
from control_silo.recovery.domain import Recovery
from shared import audit
from shared.database import Database, Transaction
from shared.errors import NotFound, PeerRefused, RegionLost, Resource
from shared.rpc.call import Caller


def recover(transaction: Transaction, *, region: str, request_id: str) -> Recovery:
    """Let the region call again; one that is not lost stays as it is. Raises NotFound."""
    presence = store.lock(transaction, region)
    if presence is None:
        raise not_found(region)
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
        presence = database.ask(lambda transaction: store.read(transaction, region))
        if presence is not None and presence.lost_at is not None:
            raise _refusal(region)

    return admit


def _refusal(region: str) -> PeerRefused:
    text = f"region {region} was declared lost; it may call again when an operator has recovered it"
    return PeerRefused(text, metadata={"region": region})


def not_found(region: str) -> NotFound:
    """The refusal of a region that the directory does not know."""
    return NotFound(f"there is no region {region}", resource=Resource("siloway/Region", f"regions/{region}"))
