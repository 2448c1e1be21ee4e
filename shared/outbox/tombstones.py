"""Deletions of LATEST subjects: the sender keeps a tombstone, with a version, until each target has acknowledged it.

The row that a source would read is gone; the tombstone stands for it, however often the message is delivered, parked
and replayed. It goes once no message of it waits any more, and never before.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text

from shared.database import Transaction
from shared.outbox.domain import Category, SubjectState
from shared.outbox.enqueue import enqueue

_BURY = text(
    """
    INSERT INTO outbox_tombstone (category, subject, target, aggregate, version, deleted_at)
    VALUES (:category, :subject, :target, :aggregate, :version, :now)
    ON CONFLICT ON CONSTRAINT outbox_tombstone_pkey
        DO UPDATE SET version = greatest(outbox_tombstone.version, excluded.version), deleted_at = excluded.deleted_at
    """
)

_READ = text(
    """
    SELECT subject, max(version) AS version FROM outbox_tombstone
    WHERE category = :category AND subject = ANY(CAST(:subjects AS text[])) GROUP BY subject
    """
)

_CLEAN = text(
    """
    DELETE FROM outbox_tombstone WHERE (category, subject, target) IN (
        SELECT category, subject, target FROM outbox_tombstone AS tombstone
        WHERE deleted_at < :older_than
            AND NOT EXISTS (
                SELECT 1 FROM outbox_message AS message
                WHERE message.target = tombstone.target AND message.aggregate = tombstone.aggregate
                    AND message.category = tombstone.category AND message.subject = tombstone.subject
            )
            AND NOT EXISTS (
                SELECT 1 FROM outbox_parked AS parked
                WHERE parked.target = tombstone.target AND parked.aggregate = tombstone.aggregate
                    AND parked.category = tombstone.category AND parked.subject = tombstone.subject
            )
        ORDER BY deleted_at LIMIT :rows_max FOR UPDATE SKIP LOCKED
    )
    """
)

_OLDEST = text("SELECT min(deleted_at) FROM outbox_tombstone")


def bury(
    transaction: Transaction, *, target: str, aggregate: str, category: Category, subject: str, version: int
) -> None:
    """Tell `target` that the subject is deleted, under a version above all that the subject had."""
    transaction.execute(
        _BURY,
        {
            "category": category.name,
            "subject": subject,
            "target": target,
            "aggregate": aggregate,
            "version": version,
            "now": transaction.now,
        },
    )
    enqueue(transaction, target=target, aggregate=aggregate, category=category, subject=subject)


def read(transaction: Transaction, category: Category, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
    """The deletions among these subjects, as a source answers them."""
    if not subjects:
        return {}
    rows = transaction.execute(_READ, {"category": category.name, "subjects": list(subjects)})
    return {row.subject: (row.version, True, {}) for row in rows}


def clean(transaction: Transaction, older_than: datetime, rows_max: int = 1000) -> int:
    """Forget up to `rows_max` deletions from before `older_than` that were acknowledged; returns how many."""
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": rows_max}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest deletion was made that is still remembered."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found
