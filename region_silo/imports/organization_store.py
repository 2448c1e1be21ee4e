"""SQL over the organizations that an import made: who waits for a slug, who is open to others."""

from sqlalchemy import text

from region_silo.imports.domain import ImportedOrganization, SlugWish
from shared.database import Transaction
from shared.importing.digests import digest_of
from shared.importing.registry import ORGANIZATION

_WITHOUT_SLUG = text(
    "SELECT id, base_slug, name FROM organization WHERE import_id = :import_id AND slug IS NULL AND deletion < 2"
    " AND id > :after_id ORDER BY id LIMIT :rows_max"
)
_MADE = text("SELECT id, base_slug, slug FROM organization WHERE import_id = :import_id ORDER BY id LIMIT :rows_max")
_IDS = text("SELECT id FROM organization WHERE import_id = :import_id ORDER BY id")
_OTHERS = text("SELECT EXISTS (SELECT FROM organization WHERE import_id IS DISTINCT FROM :import_id)")
_ACTIVATE = text(
    f"""
    WITH opened AS (
        UPDATE organization AS o SET state = 1, version = version + 1 WHERE import_id = :import_id AND state = 0
        RETURNING o.id, {digest_of("organization", "o")} AS digest
    )
    UPDATE import_row AS ledger SET digest = opened.digest FROM opened
    WHERE ledger.import_id = :import_id AND ledger.model = '{ORGANIZATION}' AND ledger.new_pk = opened.id
    """
)


def without_slug(transaction: Transaction, import_id: int, after_id: int, rows_max: int) -> list[SlugWish]:
    """Organizations of the import that wait for their slug, by id from above `after_id`; one that is to be purged waits
    for nothing.
    """
    parameters = {"import_id": import_id, "after_id": after_id, "rows_max": rows_max}
    return [SlugWish(row.id, row.base_slug, row.name) for row in transaction.execute(_WITHOUT_SLUG, parameters)]


def made_by(transaction: Transaction, import_id: int, rows_max: int) -> list[ImportedOrganization]:
    """The first organizations of the import, by id."""
    rows = transaction.execute(_MADE, {"import_id": import_id, "rows_max": rows_max})
    return [ImportedOrganization(row.id, row.base_slug, row.slug) for row in rows]


def activate(transaction: Transaction, import_id: int) -> None:
    """Open all organizations of the import to others: as they are now, with their slugs, the import has left them."""
    transaction.execute(_ACTIVATE, {"import_id": import_id})


def holds_others(transaction: Transaction, import_id: int) -> bool:
    """Whether there are organizations that this import has not made."""
    return bool(transaction.execute(_OTHERS, {"import_id": import_id}).scalar_one())


def ids_made_by(transaction: Transaction, import_id: int) -> list[int]:
    """The ids of all organizations of the import, ascending."""
    return [row.id for row in transaction.execute(_IDS, {"import_id": import_id})]
