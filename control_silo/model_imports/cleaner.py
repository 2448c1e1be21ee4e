"""How long control keeps the ledger, the before-images and the answers of imports: a region asks again only while its
import runs.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import TextClause, text

from shared.cleaner import Task
from shared.database import Transaction

RETENTION = timedelta(days=90)

# An import counts as over when its newest chunk is old.
_OVER = "SELECT import_id FROM import_chunk GROUP BY import_id HAVING max(created_at) < :older_than"
_DELETE_PART = """
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(
        SELECT part.ctid FROM ({over}) i JOIN {table} part ON part.import_id = i.import_id
        LIMIT :rows_max FOR UPDATE OF part SKIP LOCKED))
"""
_DELETE_CHUNKS = text(f"""
    DELETE FROM import_chunk WHERE ctid = ANY(ARRAY(
        SELECT part.ctid FROM ({_OVER}) i JOIN import_chunk part ON part.import_id = i.import_id
        WHERE NOT EXISTS (SELECT 1 FROM import_row r WHERE r.import_id = i.import_id)
            AND NOT EXISTS (SELECT 1 FROM import_before_image b WHERE b.import_id = i.import_id)
        LIMIT :rows_max FOR UPDATE OF part SKIP LOCKED))
""")
_OLDEST = text("SELECT min(created_at) FROM import_chunk")


def model_import_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's tasks: ledger and before-images first, then the chunks that tell their age."""
    parts = [
        Task(table, retention, _cleaning(text(_DELETE_PART.format(table=table, over=_OVER))), _oldest)
        for table in ("import_row", "import_before_image")
    ]
    return (*parts, Task("import_chunk", retention, _cleaning(_DELETE_CHUNKS), _oldest))


def _cleaning(statement: TextClause) -> Callable[[Transaction, datetime, int], int]:
    def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
        return transaction.execute(statement, {"older_than": older_than, "rows_max": rows_max}).rowcount

    return clean


def _oldest(transaction: Transaction) -> datetime | None:
    oldest: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return oldest
