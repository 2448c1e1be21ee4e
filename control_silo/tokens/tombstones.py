"""Deletions that regions are still told of: of tokens that control does not have any more, and a region still has.

A region must not be told of a deletion with a version that it has seen; who finds the copy knows its version.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from shared import delivery
from shared.database import Transaction

_ADD = text(
    """
    INSERT INTO replica_tombstone (category, subject, version, created_at) VALUES (:category, :subject, :version, :now)
    ON CONFLICT ON CONSTRAINT replica_tombstone_pkey DO UPDATE
        SET version = greatest(replica_tombstone.version, excluded.version), created_at = excluded.created_at
    """
)

_READ = text(
    """
    SELECT subject, version FROM replica_tombstone
    WHERE category = :category AND subject = ANY (CAST(:subjects AS text[]))
    """
)

_CLEAN = text(
    """
    DELETE FROM replica_tombstone WHERE (category, subject) IN (
        SELECT category, subject FROM replica_tombstone WHERE created_at < :older_than
        ORDER BY created_at LIMIT :rows_max FOR UPDATE SKIP LOCKED
    )
    """
)
_OLDEST = text("SELECT min(created_at) FROM replica_tombstone")


def add(transaction: Transaction, token_id: int, version: int) -> None:
    """Keep a deletion; regions apply it to what is older than `version`."""
    parameters = {"category": delivery.TOKEN.name, "subject": str(token_id), "version": version}
    transaction.execute(_ADD, {**parameters, "now": transaction.now})


def read(transaction: Transaction, subjects: Sequence[str]) -> dict[str, int]:
    """The versions of the deletions of these tokens, by subject."""
    found = transaction.execute(_READ, {"category": delivery.TOKEN.name, "subjects": list(subjects)})
    return {row.subject: row.version for row in found}


def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    """Forget up to `rows_max` deletions from before `older_than`."""
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": rows_max}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest deletion was noted."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found
