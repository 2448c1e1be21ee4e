"""SQL over the organizations that an import made: who waits for a slug, who is open to others.

A ledger that has grown since its last ANALYZE looks empty to the planner, which would compare thousands of
organizations with thousands of its rows, one by one: what joins them is told not to.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import text

from region_silo.imports.domain import ImportedOrganization, SlugWish
from shared.database import Transaction
from shared.importing.digests import digest_of
from shared.importing.registry import ORGANIZATION

_WITHOUT_SLUG = text(
    """
    SELECT o.id, COALESCE(planned.slug, o.base_slug) AS base_slug, o.name FROM organization o
    LEFT JOIN (
        SELECT made.new_pk, p.suffixed AS slug FROM data_import i
        JOIN import_row made ON made.import_id = i.id AND made.model = 'sentry.organization'
        JOIN import_row p ON p.import_id = i.plan_id AND p.model = made.model AND p.old_pk = made.old_pk
        WHERE i.id = :import_id
    ) planned ON planned.new_pk = o.id
    WHERE o.import_id = :import_id AND o.slug IS NULL AND o.deletion < 2 AND o.id > :after_id
    ORDER BY o.id LIMIT :rows_max
    """
)
_WAITS = text(
    "SELECT EXISTS (SELECT FROM organization WHERE import_id = :import_id AND slug IS NULL AND deletion < 2) AS waits"
)
_NESTED_LOOPS = text("SELECT set_config('enable_nestloop', :setting, true)")
_MADE = text("SELECT id, base_slug, slug FROM organization WHERE import_id = :import_id ORDER BY id LIMIT :rows_max")
_CLOSED = text("SELECT id FROM organization WHERE import_id = :import_id AND state = 0 ORDER BY id LIMIT :rows_max")
_OTHERS = text("SELECT EXISTS (SELECT FROM organization WHERE import_id IS DISTINCT FROM :import_id)")
_ACTIVATE = text(
    f"""
    WITH opened AS (
        UPDATE organization AS o SET state = 1, version = version + 1
        WHERE id = ANY (CAST(:ids AS bigint[])) AND import_id = :import_id AND state = 0
        RETURNING o.id, {digest_of("organization", "o")} AS digest
    )
    UPDATE import_row AS ledger SET digest = opened.digest FROM opened
    WHERE ledger.import_id = :import_id AND ledger.model = '{ORGANIZATION}' AND ledger.new_pk = opened.id
    """
)


def without_slug(transaction: Transaction, import_id: int, after_id: int, rows_max: int) -> list[SlugWish]:
    """Organizations of the import that wait for their slug, by id from above `after_id`; one that is to be purged waits
    for nothing. What applies a plan wants the slugs that the plan told.
    """
    parameters = {"import_id": import_id, "after_id": after_id, "rows_max": rows_max}
    with without_nested_loops(transaction):
        return [SlugWish(row.id, row.base_slug, row.name) for row in transaction.execute(_WITHOUT_SLUG, parameters)]


def any_without_slug(transaction: Transaction, import_id: int) -> bool:
    """Whether `without_slug` has any from the beginning on; one statement."""
    return bool(transaction.execute(_WAITS, {"import_id": import_id}).scalar_one())


def made_by(transaction: Transaction, import_id: int, rows_max: int) -> list[ImportedOrganization]:
    """The first organizations of the import, by id."""
    rows = transaction.execute(_MADE, {"import_id": import_id, "rows_max": rows_max})
    return [ImportedOrganization(row.id, row.base_slug, row.slug) for row in rows]


def activate(transaction: Transaction, import_id: int, organization_ids: Sequence[int]) -> None:
    """Open organizations of the import to others: as they are now, with their slugs, it has left them."""
    with without_nested_loops(transaction):
        transaction.execute(_ACTIVATE, {"import_id": import_id, "ids": list(organization_ids)})


def holds_others(transaction: Transaction, import_id: int) -> bool:
    """Whether there are organizations that this import has not made."""
    return bool(transaction.execute(_OTHERS, {"import_id": import_id}).scalar_one())


def closed_ids(transaction: Transaction, import_id: int, rows_max: int) -> list[int]:
    """The first organizations of the import that are not open yet."""
    parameters = {"import_id": import_id, "rows_max": rows_max}
    return list(transaction.execute(_CLOSED, parameters).scalars())


@contextmanager
def without_nested_loops(transaction: Transaction) -> Iterator[None]:
    """Let what runs inside join in another way, for a planner that takes a ledger for empty."""
    transaction.execute(_NESTED_LOOPS, {"setting": "off"})
    yield
    transaction.execute(_NESTED_LOOPS, {"setting": "on"})
