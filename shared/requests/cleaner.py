"""Ends the retention of request records: closed ones only, oldest first, a batch a transaction."""

from datetime import datetime

from sqlalchemy import text

from shared.database import Transaction

_DELETE = text(
    """
    DELETE FROM request_record WHERE (principal, request_id) IN (
        SELECT principal, request_id FROM request_record
        WHERE state <> 'RUNNING' AND created_at < :older_than
        ORDER BY created_at LIMIT :rows_max
        FOR UPDATE SKIP LOCKED
    )
    """
)

_OLDEST = text("SELECT min(created_at) FROM request_record WHERE state <> 'RUNNING'")


def clean(transaction: Transaction, older_than: datetime, limit: int = 1000) -> int:
    """Delete up to `limit` closed records that were made before `older_than`; returns how many."""
    return transaction.execute(_DELETE, {"older_than": older_than, "rows_max": limit}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest closed record was made."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found
