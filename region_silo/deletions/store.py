"""SQL of deletions in the region: the stage of an organization, and its rows, table by table."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import TextClause, text

from region_silo.deletions import domain
from shared.database import Transaction
from shared.deletion import DeletionStage

# An import that is still writing, or being undone, is waited for: it goes only forward, and makes no organizations once
# it has written.
_AWAITED = (
    "SELECT 1 FROM data_import WHERE data_import.id = organization.import_id AND data_import.state IN (2, 3, 7, 13)"
)

_LOCK = text(
    """
    SELECT id, deletion FROM organization WHERE id = ANY (CAST(string_to_array(:ids, ',') AS bigint[]))
    ORDER BY id FOR UPDATE
    """
)

_SET_STAGE = text("UPDATE organization SET deletion = :stage, purge_at = :purge_at WHERE id = :id")

_FIND_DELETING = text(
    f"""
    SELECT id FROM organization WHERE deletion = 2 AND id > :after_id AND NOT EXISTS ({_AWAITED})
    ORDER BY id LIMIT :rows_max
    """
)

_LOCK_DELETING = text(
    """
    SELECT version, name, slug FROM organization WHERE id = :id AND deletion = 2 FOR UPDATE SKIP LOCKED
    """
)

_FORGET = text("DELETE FROM organization WHERE id = :id")

_READ_TABLES = text(
    """
    SELECT class.relname FROM pg_class AS class
    JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid
    WHERE class.relnamespace = CAST(current_schema() AS regnamespace) AND class.relkind IN ('r', 'p')
        AND NOT class.relispartition AND attribute.attname = :column AND NOT attribute.attisdropped
    """
)

_READ_REFERENCES = text(
    """
    SELECT child.relname AS child, parent.relname AS parent FROM pg_constraint AS reference
    JOIN pg_class AS child ON child.oid = reference.conrelid
    JOIN pg_class AS parent ON parent.oid = reference.confrelid
    WHERE reference.contype = 'f' AND reference.connamespace = CAST(current_schema() AS regnamespace)
    """
)

_MEASURE = text(
    """
    SELECT deletion, count(*) AS organizations, min(purge_at) AS oldest FROM organization
    WHERE deletion <> 0 GROUP BY deletion
    """
)


class Held(NamedTuple):
    """An organization that is being purged."""

    version: int
    name: str
    slug: str | None


def lock(transaction: Transaction, organization_ids: Iterable[int]) -> dict[int, DeletionStage]:
    """Lock the rows that exist, waiting for everybody who writes below them; their stages."""
    rows = transaction.execute(_LOCK, {"ids": ",".join(map(str, sorted(organization_ids)))})
    return {row.id: DeletionStage(row.deletion) for row in rows}


def set_stage(transaction: Transaction, organization_id: int, stage: DeletionStage, purge_at: datetime | None) -> None:
    """Write the stage; the row is locked."""
    transaction.execute(_SET_STAGE, {"id": organization_id, "stage": stage.value, "purge_at": purge_at})


def find_deleting(transaction: Transaction, after_id: int, rows_max: int) -> list[int]:
    """Organizations to purge, by id above `after_id`, without those that an import is still writing."""
    return list(transaction.execute(_FIND_DELETING, {"after_id": after_id, "rows_max": rows_max}).scalars())


def lock_deleting(transaction: Transaction, organization_id: int) -> Held | None:
    """Lock an organization that is to be purged; None when somebody else does that, or has done it."""
    row = transaction.execute(_LOCK_DELETING, {"id": organization_id}).one_or_none()
    return None if row is None else Held(row.version, row.name, row.slug)


def read_tables(transaction: Transaction) -> list[str]:
    """The tables to empty, children first."""
    tables = transaction.execute(_READ_TABLES, {"column": domain.COLUMN}).scalars().all()
    references = [(row.child, row.parent) for row in transaction.execute(_READ_REFERENCES)]
    return domain.in_order(tables, references)


def delete_rows(transaction: Transaction, table: str, organization_id: int, rows_max: int) -> int:
    """Delete up to `rows_max` rows of the organization from a table; returns how many."""
    statement = _of(
        """
        DELETE FROM "{table}" WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM "{table}" WHERE organization_id = :id LIMIT :rows_max
        ))
        """,
        table,
    )
    return transaction.execute(statement, {"id": organization_id, "rows_max": rows_max}).rowcount


def read_ids(transaction: Transaction, table: str, organization_id: int, rows_max: int) -> list[int]:
    """The ids of up to `rows_max` rows of the organization, ascending."""
    statement = _of('SELECT id FROM "{table}" WHERE organization_id = :id ORDER BY id LIMIT :rows_max', table)
    return list(transaction.execute(statement, {"id": organization_id, "rows_max": rows_max}).scalars())


def delete_ids(transaction: Transaction, table: str, organization_id: int, ids: Sequence[int]) -> int:
    """Delete these rows of the organization; returns how many."""
    statement = _of('DELETE FROM "{table}" WHERE organization_id = :id AND id = ANY (:ids)', table)
    return transaction.execute(statement, {"id": organization_id, "ids": list(ids)}).rowcount


def has_rows(transaction: Transaction, table: str, organization_id: int) -> bool:
    """Whether the organization has rows in a table."""
    statement = _of('SELECT EXISTS (SELECT 1 FROM "{table}" WHERE organization_id = :id)', table)
    return bool(transaction.execute(statement, {"id": organization_id}).scalar_one())


def forget(transaction: Transaction, organization_id: int) -> None:
    """Delete the organization's own row."""
    transaction.execute(_FORGET, {"id": organization_id})


def measure(transaction: Transaction) -> dict[DeletionStage, tuple[int, datetime]]:
    """For each stage how many organizations are at it, and the earliest purge time among them."""
    return {DeletionStage(row.deletion): (row.organizations, row.oldest) for row in transaction.execute(_MEASURE)}


def _of(statement: str, table: str) -> TextClause:
    """The statement about a table; its name comes from the catalogue, never from a caller."""
    return text(statement.replace("{table}", table))
