"""How long the region keeps what imports left: uploaded files, then ledger, before-images, findings and chunks, then
the import's row.

Only imports that have ended are touched; the rows that they wrote stay, of course.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import text

from region_silo.imports import plan_store, store
from region_silo.imports.domain import DataImport, State
from shared.cleaner import Task
from shared.database import Database, Transaction
from shared.importing import planning
from shared.importing.spool import Spool

RETENTION = timedelta(days=90)

# Succeeded, failed, cancelled, stopped, planned, undone.
_ENDED = "(5, 6, 9, 10, 12, 14)"
_PARTS = (
    "import_row",
    "import_before_image",
    "import_filter",
    "import_choice",
    "import_finding",
    "import_chunk",
)


def import_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's tasks, one a table, in the order in which they empty an import."""
    parts = [Task(table, retention, _cleaning(_delete_part(table)), _oldest) for table in _PARTS]
    plans = Task("plan", timedelta(0), _drop_plans, lambda _transaction: None)
    return (*parts, Task("data_import", retention, _cleaning(_DELETE_IMPORT), _oldest), plans)


def clean_spool(database: Database, spool: Spool, *, keep: timedelta) -> int:
    """Remove uploads that nobody needs: broken off, or ended for longer than `keep`, cancelled, or without an import;
    those that succeeded without an error also when the spool is crowded.

    Returns how many imports' files went. Uploads under way are younger than `keep`, which must exceed a stream's
    longest time.
    """
    older_than = database.clock.now() - keep
    dropped = set(database.transact(lambda transaction: store.delete_stale_uploads(transaction, older_than)))
    here = [int(each) for each in spool.import_ids()]
    found = database.read(lambda transaction: store.with_file(transaction, here))
    removed = 0
    for import_id in here:
        if import_id in dropped or all(_is_over(each, older_than, spool) for each in found.get(import_id, [])):
            spool.remove(str(import_id))
            removed += 1
    return removed


def _is_over(data_import: DataImport, older_than: datetime, spool: Spool) -> bool:
    """Whether this import needs its file no more."""
    if data_import.state in (State.CANCELLED, State.UNDONE):
        return True
    if data_import.state not in (State.SUCCEEDED, State.FAILED, State.STOPPED, State.PLANNED):
        return False
    return data_import.updated_at < older_than or (not data_import.has_file_to_retry and spool.is_crowded())


def _delete_part(table: str) -> str:
    return f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT part.ctid FROM data_import i JOIN {table} part ON part.import_id = i.id
            WHERE i.state IN {_ENDED} AND i.ended_at < :older_than LIMIT :rows_max FOR UPDATE OF part SKIP LOCKED))
    """


_DELETE_IMPORT = f"""
    DELETE FROM data_import WHERE id = ANY(ARRAY(
        SELECT i.id FROM data_import i WHERE i.state IN {_ENDED} AND i.ended_at < :older_than
        {"".join(f" AND NOT EXISTS (SELECT 1 FROM {part} p WHERE p.import_id = i.id)" for part in _PARTS)}
        LIMIT :rows_max FOR UPDATE SKIP LOCKED))
"""
_OLDEST = text(f"SELECT min(ended_at) FROM data_import WHERE state IN {_ENDED}")


def _drop_plans(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    """Drop what is left of plans that go on no more."""
    del older_than
    found = planning.plans_with_schema(transaction)
    gone = sorted(set(found) - plan_store.running_plans(transaction, found))
    return sum(planning.drop(transaction, plan_id) for plan_id in gone[: min(rows_max, 10)])


def _cleaning(sql: str) -> Callable[[Transaction, datetime, int], int]:
    statement = text(sql)

    def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
        return transaction.execute(statement, {"older_than": older_than, "rows_max": rows_max}).rowcount

    return clean


def _oldest(transaction: Transaction) -> datetime | None:
    oldest: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return oldest
