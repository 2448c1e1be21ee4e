"""Ends the retention of what the inbox remembers of deleted subjects.

Until then an upsert that comes after its deletion is recognised; the retention must be longer than any delivery can be
late.
"""

from datetime import datetime

from sqlalchemy import text

from shared.database import Transaction

_DELETE = text(
    """
    DELETE FROM inbox_subject WHERE (origin, category, subject) IN (
        SELECT origin, category, subject FROM inbox_subject
        WHERE deleted AND updated_at < :older_than
        ORDER BY updated_at LIMIT :rows_max
        FOR UPDATE SKIP LOCKED
    )
    """
)

_OLDEST = text("SELECT min(updated_at) FROM inbox_subject WHERE deleted")


def clean(transaction: Transaction, older_than: datetime, limit: int = 1000) -> int:
    """Forget up to `limit` subjects that were deleted before `older_than`; returns how many."""
    return transaction.execute(_DELETE, {"older_than": older_than, "rows_max": limit}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest remembered deletion was applied."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found
