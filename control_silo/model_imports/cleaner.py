"""How long control keeps the ledger and the answers of imports: a region asks again only while its import runs."""

from datetime import datetime, timedelta

from sqlalchemy import text

from shared.cleaner import Task
from shared.database import Transaction

RETENTION = timedelta(days=90)

# An import counts as over when its newest chunk is old.
_OVER = "SELECT import_id FROM import_chunk GROUP BY import_id HAVING max(created_at) < :older_than"
_DELETE_ROWS = text(f"""
    DELETE FROM import_row WHERE ctid = ANY(ARRAY(
        SELECT part.ctid FROM ({_OVER}) i JOIN import_row part ON part.import_id = i.import_id
        LIMIT :rows_max FOR UPDATE OF part SKIP LOCKED))
""")
_DELETE_CHUNKS = text(f"""
    DELETE FROM import_chunk WHERE ctid = ANY(ARRAY(
        SELECT part.ctid FROM ({_OVER}) i JOIN import_chunk part ON part.import_id = i.import_id
        WHERE NOT EXISTS (SELECT 1 FROM import_row r WHERE r.import_id = i.import_id)
        LIMIT :rows_max FOR UPDATE OF part SKIP LOCKED))
""")
_OLDEST = text("SELECT min(created_at) FROM import_chunk")


def model_import_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's tasks: the ledger first, then the chunks that tell its age."""
    return (
        Task("import_row", retention, _clean_rows, _oldest),
        Task("import_chunk", retention, _clean_chunks, _oldest),
    )


def _clean_rows(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    return transaction.execute(_DELETE_ROWS, {"older_than": older_than, "rows_max": rows_max}).rowcount


def _clean_chunks(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    return transaction.execute(_DELETE_CHUNKS, {"older_than": older_than, "rows_max": rows_max}).rowcount


def _oldest(transaction: Transaction) -> datetime | None:
    oldest: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return oldest
