"""SQL of who compares which region: one process at a time, for as long as its lease runs."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text

from shared.database import Transaction

LEASE = timedelta(seconds=60)
"""Above the longest step between two renewals: a call to a region, and a pause."""

_SKEW = timedelta(seconds=5)

_ADD = text(
    """
    INSERT INTO reconciliation_lease (region, due_at)
    SELECT name, :due_at FROM region_directory AS known
    WHERE NOT EXISTS (SELECT FROM reconciliation_lease AS lease WHERE lease.region = known.name)
    ORDER BY name
    ON CONFLICT ON CONSTRAINT reconciliation_lease_pkey DO NOTHING
    """
)

# A region that was declared lost is not called.
_CLAIM = text(
    """
    UPDATE reconciliation_lease SET token = CAST(:token AS uuid), lease_until = :lease_until, due_at = :now
    WHERE region = (
        SELECT lease.region FROM reconciliation_lease AS lease JOIN region_directory ON name = lease.region
        WHERE due_at <= :now AND (lease_until IS NULL OR lease_until < :expired_before) AND lost_at IS NULL
        ORDER BY due_at, lease.region LIMIT 1 FOR UPDATE OF lease SKIP LOCKED
    )
    RETURNING region
    """
)

_RENEW = text(
    """
    UPDATE reconciliation_lease SET lease_until = :lease_until
    WHERE region = :region AND token = CAST(:token AS uuid)
    """
)

_RELEASE = text(
    """
    UPDATE reconciliation_lease SET token = NULL, lease_until = NULL, last_error = :last_error,
        due_at = CASE WHEN due_at = '-infinity' THEN CAST(:now AS timestamptz) ELSE :due_at END,
        failures = CASE WHEN :last_error = '' THEN 0 ELSE failures + 1 END
    WHERE region = :region AND token = CAST(:token AS uuid)
    RETURNING failures
    """
)

_FAILURES = text("SELECT failures FROM reconciliation_lease WHERE region = :region")

# A comparison that runs may have passed what it is wanted for: -infinity tells its end to be due again at once.
_MAKE_DUE = text(
    """
    UPDATE reconciliation_lease
    SET due_at = CASE WHEN token IS NULL THEN CAST(:now AS timestamptz) ELSE '-infinity' END
    WHERE region = ANY (CAST(:regions AS text[])) AND (due_at > :now OR token IS NOT NULL)
    """
)


def add_missing(transaction: Transaction, due_at: datetime) -> None:
    """Give each region of the directory its row; a new one is due at `due_at`."""
    transaction.execute(_ADD, {"due_at": due_at})


def claim(transaction: Transaction) -> tuple[str, str] | None:
    """Lease the region that is due for longest; (region, token), or None when none is due and free."""
    token = str(uuid.uuid4())
    now = transaction.now
    parameters = {"token": token, "now": now, "lease_until": now + LEASE, "expired_before": now - _SKEW}
    region = transaction.execute(_CLAIM, parameters).scalar_one_or_none()
    return None if region is None else (str(region), token)


def renew(transaction: Transaction, region: str, token: str) -> bool:
    """Go on; False when another process has the region by now."""
    parameters = {"region": region, "token": token, "lease_until": transaction.now + LEASE}
    return transaction.execute(_RENEW, parameters).rowcount == 1


def failures(transaction: Transaction, region: str) -> int:
    """How often in a row the comparison with the region broke off."""
    return int(transaction.execute(_FAILURES, {"region": region}).scalar_one_or_none() or 0)


def release(transaction: Transaction, region: str, token: str, *, due_at: datetime, last_error: str = "") -> None:
    """Give the region back, due at `due_at`, or at once when `make_due` was called meanwhile; an error counts as a
    failure, its absence ends their count.
    """
    parameters = {"region": region, "token": token, "due_at": due_at, "last_error": last_error}
    transaction.execute(_RELEASE, {**parameters, "now": transaction.now})


def make_due(transaction: Transaction, regions: Sequence[str]) -> None:
    """Let these regions be compared as soon as somebody is free."""
    transaction.execute(_MAKE_DUE, {"regions": list(regions), "now": transaction.now})
