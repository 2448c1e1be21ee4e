"""The SQL of losing a region.

A region's row of the directory is locked by whoever holds something for it (shared) and by who declares it lost
(alone), so that no hold appears behind a declaration.
"""

from datetime import datetime

from sqlalchemy import text

from control_silo.recovery.domain import Presence
from shared.database import Transaction

_READ = text("SELECT name, lost_at, fence FROM region_directory WHERE name = :region")
_KEEP = text("SELECT name, lost_at, fence FROM region_directory WHERE name = :region FOR SHARE")
_LOCK = text("SELECT name, lost_at, fence FROM region_directory WHERE name = :region FOR UPDATE")

_WRITE = text("UPDATE region_directory SET lost_at = :lost_at, fence = :fence, updated_at = :now WHERE name = :region")

# State 0 is HELD. The fence versions of what is freed stay: in the region's fence, and in the organization's own slug.
_HIGHEST_FENCE = text("SELECT coalesce(max(fence_version), 0) FROM slug_reservation WHERE region = :region")

_RAISE_PRIMARIES = text(
    """
    UPDATE slug_reservation kept SET fence_version = held.fence_version, updated_at = :now
    FROM slug_reservation held
    WHERE held.region = :region AND held.state = 0 AND held.organization_id = kept.organization_id
        AND kept.state = 1 AND kept.type = 0 AND kept.fence_version < held.fence_version
    """
)

# The slugs of a swap have owners already (type 0 with an organization): they are not free, however the swap ends.
_HELD = text(
    """
    SELECT slug FROM slug_reservation
    WHERE region = :region AND state = 0 AND (type <> 0 OR organization_id IS NULL) ORDER BY slug FOR UPDATE
    """
)


def read(transaction: Transaction, region: str) -> Presence | None:
    """The region, without a lock."""
    return _one(transaction, _READ, region)


def keep(transaction: Transaction, region: str) -> Presence | None:
    """The region; it cannot be declared lost until the end."""
    return _one(transaction, _KEEP, region)


def lock(transaction: Transaction, region: str) -> Presence | None:
    """The region; nobody holds anything for it until the end."""
    return _one(transaction, _LOCK, region)


def write(transaction: Transaction, region: str, *, lost_at: datetime | None, fence: int) -> None:
    """Set both; the row is locked."""
    parameters = {"region": region, "lost_at": lost_at, "fence": fence, "now": transaction.now}
    transaction.execute(_WRITE, parameters)


def highest_fence(transaction: Transaction, region: str) -> int:
    """The highest fence version that the region's reservations have."""
    found: int = transaction.execute(_HIGHEST_FENCE, {"region": region}).scalar_one()
    return found


def end_holds(transaction: Transaction, region: str) -> list[str]:
    """The slugs that are held for the region, which the caller releases; their fence versions are remembered."""
    transaction.execute(_RAISE_PRIMARIES, {"region": region, "now": transaction.now})
    return list(transaction.execute(_HELD, {"region": region}).scalars())


def _one(transaction: Transaction, statement: object, region: str) -> Presence | None:
    row = transaction.execute(statement, {"region": region}).one_or_none()  # type: ignore[arg-type]
    return None if row is None else Presence(row.name, row.lost_at, row.fence)
