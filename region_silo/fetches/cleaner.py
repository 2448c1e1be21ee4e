"""How long the region keeps what fetches recorded; those that have not ended stay."""

from datetime import datetime, timedelta

from sqlalchemy import text

from shared.cleaner import Task
from shared.database import Transaction

RETENTION = timedelta(days=30)

_DELETE = text(
    """
    DELETE FROM commit_fetch WHERE id = ANY(ARRAY(
        SELECT id FROM commit_fetch WHERE state IN ('succeeded', 'failed') AND created_at < :older_than
        ORDER BY created_at LIMIT :rows_max FOR UPDATE SKIP LOCKED))
    """
)
_OLDEST = text("SELECT min(created_at) FROM commit_fetch WHERE state IN ('succeeded', 'failed')")


def fetch_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's tasks."""
    return (Task("commit_fetch", retention, _clean, _oldest),)


def _clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    return transaction.execute(_DELETE, {"older_than": older_than, "rows_max": rows_max}).rowcount


def _oldest(transaction: Transaction) -> datetime | None:
    oldest: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return oldest
