"""How long the region keeps what imports recorded: ledger, findings and chunks go before the import's own row.

Only imports that have ended are touched; the rows that they wrote stay, of course.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import text

from shared.cleaner import Task
from shared.database import Transaction

RETENTION = timedelta(days=90)

_PARTS = ("import_row", "import_filter", "import_finding", "import_chunk")


def import_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's tasks, one a table, in the order in which they empty an import."""
    parts = [Task(table, retention, _cleaning(_delete_part(table)), _oldest) for table in _PARTS]
    return (*parts, Task("data_import", retention, _cleaning(_DELETE_IMPORT), _oldest))


def _delete_part(table: str) -> str:
    return f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT part.ctid FROM data_import i JOIN {table} part ON part.import_id = i.id
            WHERE i.state IN (5, 6) AND i.ended_at < :older_than LIMIT :rows_max FOR UPDATE OF part SKIP LOCKED))
    """


_DELETE_IMPORT = f"""
    DELETE FROM data_import WHERE id = ANY(ARRAY(
        SELECT i.id FROM data_import i WHERE i.state IN (5, 6) AND i.ended_at < :older_than
        {"".join(f" AND NOT EXISTS (SELECT 1 FROM {part} p WHERE p.import_id = i.id)" for part in _PARTS)}
        LIMIT :rows_max FOR UPDATE SKIP LOCKED))
"""
_OLDEST = text("SELECT min(ended_at) FROM data_import WHERE state IN (5, 6)")


def _cleaning(sql: str) -> Callable[[Transaction, datetime, int], int]:
    statement = text(sql)

    def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
        return transaction.execute(statement, {"older_than": older_than, "rows_max": rows_max}).rowcount

    return clean


def _oldest(transaction: Transaction) -> datetime | None:
    oldest: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return oldest
