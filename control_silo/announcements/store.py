"""SQL on status_sync: what trackers outside are to be told, in the order of its ids within an organization."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import text

from shared.cleaner import Task
from shared.database import Transaction
from shared.delivery import StatusSync

RETENTION = timedelta(days=30)

_ADD = text(
    """
    INSERT INTO status_sync (organization_id, issue_id, integration, key, resolved, version, created_at)
    SELECT organization_id, issue_id, tracker_integration, tracker_key, resolved, resolved_version, :now
    FROM ROWS FROM (
        json_to_recordset(CAST(:rows AS json)) AS (
            organization_id bigint, issue_id bigint, tracker_integration text, tracker_key text, resolved boolean,
            resolved_version text
        )
    ) WITH ORDINALITY AS told (
        organization_id, issue_id, tracker_integration, tracker_key, resolved, resolved_version, place
    )
    ORDER BY place
    """
)
_CLEAN = text(
    """
    DELETE FROM status_sync WHERE id IN (
        SELECT id FROM status_sync WHERE created_at < :older_than ORDER BY created_at
        LIMIT :rows_max FOR UPDATE SKIP LOCKED
    )
    """
)
_OLDEST = text("SELECT min(created_at) FROM status_sync")


def add(transaction: Transaction, announcements: Sequence[StatusSync]) -> None:
    """Insert a row for each."""
    rows = msgspec.json.encode(announcements).decode()
    transaction.execute(_ADD, {"rows": rows, "now": transaction.now})


def announcement_tasks() -> list[Task]:
    """What the cleaner does here."""
    return [Task("status_syncs", RETENTION, _clean, _oldest)]


def _clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": rows_max}).rowcount


def _oldest(transaction: Transaction) -> datetime | None:
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found
