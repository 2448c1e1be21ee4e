"""SQL on the REDIRECT rows of slug_reservation: former slugs that lead to their organization until they expire."""

from datetime import datetime

from sqlalchemy import text

from control_silo.slugs.domain import ReservationState, ReservationType
from shared.database import Transaction

_MAKE = text(
    """
    UPDATE slug_reservation
    SET type = :type, state = :state, expires_at = :expires_at, use_count = 0, last_used_at = NULL, updated_at = :now
    WHERE slug = :slug
    """
)

_TAKE_BACK = text(
    """
    UPDATE slug_reservation
    SET type = :type, state = :state, holder = :holder, fence_version = :fence_version, updated_at = :now
    WHERE slug = :slug AND organization_id = :organization_id AND type = 3 AND expires_at > :now
    RETURNING slug
    """
)

_COUNT = text(
    """
    SELECT count(*) FROM slug_reservation
    WHERE organization_id = :organization_id AND type = 3 AND expires_at > :now AND slug <> :besides
    """
)

# One that is being taken back for a rename leads on meanwhile.
_FIND_TARGET = text(
    """
    SELECT organization_id FROM slug_reservation
    WHERE slug = :slug AND expires_at > :now AND state <> :quarantined AND organization_id IS NOT NULL
    """
)

_COUNT_USE = text(
    """
    UPDATE slug_reservation SET use_count = use_count + 1, last_used_at = :now
    WHERE slug = :slug AND expires_at > :now AND state <> 2
    """
)

_DELETE = text("DELETE FROM slug_reservation WHERE slug = :slug AND type = 3")

_CLEAN = text(
    """
    DELETE FROM slug_reservation WHERE slug IN (
        SELECT slug FROM slug_reservation WHERE expires_at <= :older_than AND (type = 3 OR state = 2)
        ORDER BY expires_at LIMIT :rows_max FOR UPDATE SKIP LOCKED
    )
    """
)

_OLDEST = text("SELECT min(expires_at) FROM slug_reservation WHERE expires_at <= :now AND (type = 3 OR state = 2)")


def make(transaction: Transaction, slug: str, expires_at: datetime) -> None:
    """Make a PRIMARY row a redirect of the organization that had it."""
    transaction.execute(
        _MAKE,
        {
            "slug": slug,
            "type": ReservationType.REDIRECT.value,
            "state": ReservationState.ACTIVE.value,
            "expires_at": expires_at,
            "now": transaction.now,
        },
    )


def take_back(transaction: Transaction, slug: str, *, organization_id: int, holder: str, fence_version: int) -> bool:
    """Make an organization's own redirect its TEMPORARY, HELD row; False when it has no such redirect."""
    parameters = {
        "slug": slug,
        "organization_id": organization_id,
        "type": ReservationType.TEMPORARY_RENAME_ALIAS.value,
        "state": ReservationState.HELD.value,
        "holder": holder,
        "fence_version": fence_version,
        "now": transaction.now,
    }
    return transaction.execute(_TAKE_BACK, parameters).scalar() is not None


def count(transaction: Transaction, organization_id: int, *, besides: str) -> int:
    """How many redirects an organization has that lead on, one slug aside."""
    parameters = {"organization_id": organization_id, "besides": besides, "now": transaction.now}
    found: int = transaction.execute(_COUNT, parameters).scalar_one()
    return found


def find_target(transaction: Transaction, slug: str) -> int | None:
    """The organization that a former slug leads to."""
    quarantined = ReservationState.QUARANTINED.value
    parameters = {"slug": slug, "quarantined": quarantined, "now": transaction.now}
    found: int | None = transaction.execute(_FIND_TARGET, parameters).scalar()
    return found


def count_use(transaction: Transaction, slug: str) -> None:
    """Note that a redirect has led somebody."""
    transaction.execute(_COUNT_USE, {"slug": slug, "now": transaction.now})


def delete(transaction: Transaction, slug: str) -> None:
    """End a redirect."""
    transaction.execute(_DELETE, {"slug": slug})


def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    """Delete up to `rows_max` redirects and quarantines that ended before `older_than`."""
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": rows_max}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest redirect or quarantine that is over ended."""
    found: datetime | None = transaction.execute(_OLDEST, {"now": transaction.now}).scalar_one()
    return found
