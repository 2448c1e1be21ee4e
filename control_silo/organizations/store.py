"""SQL on organization_mapping. Rows are locked in the order of their ids; sets travel as joined text, which is ten
times cheaper to hand over than arrays of thousands.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import BigInteger, Column, DateTime, Row, Select, SmallInteger, Table, Text, select, text
from sqlalchemy.sql.elements import ColumnElement

from control_silo.organizations import domain
from control_silo.regions.store import region_directory
from control_silo.schema import METADATA
from shared.database import Transaction
from shared.deletion import DeletionStage

organization_mapping = Table(
    "organization_mapping",
    METADATA,
    Column("organization_id", BigInteger, primary_key=True),
    Column("slug", Text),
    Column("name", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("deletion", SmallInteger, nullable=False),
    Column("deletion_version", BigInteger, nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
    Column("purge_at", DateTime(timezone=True)),
)

_LOCK = text(
    """
    SELECT organization_id, region FROM organization_mapping
    WHERE organization_id = ANY (CAST(string_to_array(:ids, ',') AS bigint[]))
    ORDER BY organization_id FOR UPDATE
    """
)

_KEEP = text("SELECT organization_id FROM organization_mapping WHERE organization_id = :id FOR SHARE")

_ADD = text(
    """
    INSERT INTO organization_mapping (organization_id, name, region, state, version, created_at, updated_at)
    SELECT CAST(added.id AS bigint), added.name, :region, :state, 0, :now, :now
    FROM ROWS FROM (unnest(string_to_array(:ids, ',')), json_array_elements_text(CAST(:names AS json)))
        AS added (id, name)
    ON CONFLICT ON CONSTRAINT organization_mapping_pkey DO NOTHING
    """
)

_ADD_MADE = text(
    """
    INSERT INTO organization_mapping
        (organization_id, slug, name, region, state, version, fence_version, created_at, updated_at)
    VALUES (:id, :slug, :name, :region, :state, :version, :fence_version, :now, :now)
    """
)

_PARK_SLUGS = text(
    """
    UPDATE organization_mapping SET slug = NULL
    WHERE organization_id = ANY (CAST(string_to_array(:ids, ',') AS bigint[])) AND slug IS NOT NULL
    """
)

_SET_SLUGS = text(
    """
    UPDATE organization_mapping AS mapping
    SET slug = given.slug, updated_at = :now,
        fence_version = greatest(mapping.fence_version, CAST(given.fence AS bigint))
    FROM ROWS FROM (
        unnest(string_to_array(:ids, ',')), unnest(string_to_array(:slugs, ',')), unnest(string_to_array(:fences, ','))
    ) AS given (id, slug, fence)
    WHERE mapping.organization_id = CAST(given.id AS bigint)
    """
)

_RAISE_FENCE = text(
    """
    UPDATE organization_mapping SET fence_version = greatest(fence_version, :fence_version)
    WHERE organization_id = :id
    """
)

_FORGET = text(
    """
    DELETE FROM organization_mapping
    WHERE organization_id = ANY (CAST(string_to_array(:ids, ',') AS bigint[])) AND slug IS NULL AND deletion = 0
    """
)

# type 0 is PRIMARY, state 1 ACTIVE; "type <> 3" is written as the index has it.
_RESTORE = text(
    """
    INSERT INTO organization_mapping
        (organization_id, slug, name, region, state, version, fence_version, created_at, updated_at)
    SELECT organization_id, slug, :name, region, :state, 0, fence_version, :now, :now FROM slug_reservation
    WHERE organization_id = :id AND type = 0 AND type <> 3 AND state = 1 AND region = :region
    ON CONFLICT DO NOTHING
    """
)

_MEND_SLUG = text(
    """
    UPDATE organization_mapping AS mapping SET slug = held.slug, updated_at = :now
    FROM slug_reservation AS held
    WHERE mapping.organization_id = :id AND mapping.region = :region AND held.organization_id = :id
        AND held.region = :region AND held.type = 0 AND held.type <> 3 AND held.state = 1
        AND mapping.slug IS DISTINCT FROM held.slug
        AND NOT EXISTS (SELECT 1 FROM organization_mapping AS other WHERE other.slug = held.slug)
    """
)

_UPDATE_STATES = text(
    """
    UPDATE organization_mapping AS mapping
    SET name = told.name, state = told.state, version = told.version, updated_at = :now
    FROM json_to_recordset(CAST(:states AS json)) AS told (id bigint, version bigint, name text, state text)
    WHERE mapping.organization_id = told.id AND mapping.version < told.version
    """
)


def lock(transaction: Transaction, organization_ids: Iterable[int]) -> dict[int, str]:
    """Lock the rows of these organizations that exist; returns id -> region."""
    return {row.organization_id: row.region for row in transaction.execute(_LOCK, {"ids": _ids(organization_ids)})}


def add(transaction: Transaction, region: str, names: Mapping[int, str]) -> int:
    """Insert rows without a slug for the ids that have none, in the order of the ids; returns how many were new.

    A row that another transaction inserts at this moment is waited for.
    """
    ids = sorted(names)
    parameters = {
        "ids": _ids(ids),
        "names": msgspec.json.encode([names[organization_id] for organization_id in ids]).decode(),
        "region": region,
        "state": domain.IMPORTING,
        "now": transaction.now,
    }
    return transaction.execute(_ADD, parameters).rowcount


def add_made(
    transaction: Transaction,
    organization_id: int,
    *,
    slug: str,
    name: str,
    region: str,
    version: int,
    fence_version: int,
) -> None:
    """Insert the row of an organization that its region has just made, with its slug."""
    transaction.execute(
        _ADD_MADE,
        {
            "id": organization_id,
            "slug": slug,
            "name": name,
            "region": region,
            "state": domain.ACTIVE,
            "version": version,
            "fence_version": fence_version,
            "now": transaction.now,
        },
    )


def raise_fence(transaction: Transaction, organization_id: int, fence_version: int) -> None:
    """Remember a fence version whose reservation ends: the next one must be above it."""
    transaction.execute(_RAISE_FENCE, {"id": organization_id, "fence_version": fence_version})


def set_slugs(transaction: Transaction, slugs: Mapping[int, tuple[str, int]]) -> None:
    """Give each organization its (slug, fence version); first all are parked, so that slugs may change hands."""
    ids = sorted(slugs)
    transaction.execute(_PARK_SLUGS, {"ids": _ids(ids)})
    given = {
        "slugs": ",".join(slugs[organization_id][0] for organization_id in ids),
        "fences": _ids(slugs[organization_id][1] for organization_id in ids),
    }
    transaction.execute(_SET_SLUGS, {"ids": _ids(ids), **given, "now": transaction.now})


def forget(transaction: Transaction, organization_ids: Iterable[int]) -> None:
    """Delete the rows of organizations that never had a slug; one that is to be deleted ends by its deletion."""
    transaction.execute(_FORGET, {"ids": _ids(organization_ids)})


def mend(transaction: Transaction, organization_id: int, *, region: str, name: str) -> bool:
    """Give an organization of the region its row, or its row the slug, of its PRIMARY reservation; whether it has one.

    The row is made as before the region's first word of it, so that whatever that says next is taken.
    """
    parameters = {"id": organization_id, "region": region, "now": transaction.now}
    if lock(transaction, [organization_id]):
        transaction.execute(_MEND_SLUG, parameters)
    else:
        transaction.execute(_RESTORE, {**parameters, "name": name, "state": domain.IMPORTING})
    return lock(transaction, [organization_id]).get(organization_id) == region


def update_states(transaction: Transaction, states: Sequence[tuple[int, int, str, str]]) -> None:
    """Take (id, version, name, state) for each organization whose version is below that."""
    encoded = [{"id": i, "version": version, "name": name, "state": state} for i, version, name, state in states]
    transaction.execute(_UPDATE_STATES, {"states": msgspec.json.encode(encoded).decode(), "now": transaction.now})


def find_by_id(transaction: Transaction, organization_id: int) -> domain.Mapping | None:
    """The mapping of an organization."""
    return _find(transaction, organization_mapping.c.organization_id == organization_id)


def keep(transaction: Transaction, organization_id: int) -> domain.Mapping | None:
    """The mapping of an organization, which nobody changes until the end."""
    held = transaction.execute(_KEEP, {"id": organization_id}).scalar()
    return None if held is None else find_by_id(transaction, organization_id)


def find_by_slug(transaction: Transaction, slug: str) -> domain.Mapping | None:
    """The mapping of a case-folded slug."""
    return _find(transaction, organization_mapping.c.slug == slug)


def list_page(
    transaction: Transaction,
    *,
    after_id: int,
    limit: int,
    region: str | None,
    organization_id: int | None,
    show_deleted: bool = False,
) -> list[domain.Mapping]:
    """Up to `limit` mappings by id, above `after_id`; of one region or one organization only when given."""
    statement = _select().where(organization_mapping.c.organization_id > after_id)
    if not show_deleted:
        statement = statement.where(organization_mapping.c.deletion == DeletionStage.NONE)
    if region is not None:
        statement = statement.where(organization_mapping.c.region == region)
    if organization_id is not None:
        statement = statement.where(organization_mapping.c.organization_id == organization_id)
    rows = transaction.execute(statement.order_by(organization_mapping.c.organization_id).limit(limit))
    return [_mapping(row) for row in rows]


def _find(transaction: Transaction, condition: ColumnElement[bool]) -> domain.Mapping | None:
    row = transaction.execute(_select().where(condition)).one_or_none()
    return None if row is None else _mapping(row)


def _select() -> Select[tuple[object, ...]]:
    joined = organization_mapping.outerjoin(region_directory, region_directory.c.name == organization_mapping.c.region)
    return select(organization_mapping, region_directory.c.public_address).select_from(joined)


def _mapping(row: Row[tuple[object, ...]]) -> domain.Mapping:
    return domain.Mapping(
        organization_id=row.organization_id,
        slug=row.slug,
        name=row.name,
        region=row.region,
        region_address=row.public_address or "",
        state=row.state,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deletion=DeletionStage(row.deletion),
        deletion_version=row.deletion_version,
        deleted_at=row.deleted_at,
        purge_at=row.purge_at,
    )


def _ids(organization_ids: Iterable[int]) -> str:
    return ",".join(map(str, organization_ids))
