"""How long the region keeps the rows of exports that have ended; their files go long before."""

from datetime import datetime, timedelta

from sqlalchemy import text

from shared.cleaner import Task
from shared.database import Transaction

RETENTION = timedelta(days=90)

_DELETE = text(
    """
    DELETE FROM data_export WHERE id = ANY(ARRAY(
        SELECT id FROM data_export WHERE ended_at < :older_than ORDER BY ended_at LIMIT :rows_max
        FOR UPDATE SKIP LOCKED))
    """
)
_OLDEST = text("SELECT min(ended_at) FROM data_export WHERE ended_at IS NOT NULL")


def export_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's tasks."""
    return (Task("data_export", retention, _clean, _oldest),)


def _clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    return transaction.execute(_DELETE, {"older_than": older_than, "rows_max": rows_max}).rowcount


def _oldest(transaction: Transaction) -> datetime | None:
    oldest: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return oldest
