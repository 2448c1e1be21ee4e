"""SQL on slug_reservation. Who writes here has locked the organizations' mappings before; slugs are locked in their
order.

Sets travel as joined text, which is ten times cheaper to hand over than arrays of thousands; no slug holds a comma.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Column, DateTime, Row, SmallInteger, Table, Text, select, text

from control_silo.schema import METADATA
from control_silo.slugs.domain import Holding, Reservation, ReservationState, ReservationType, Seeker
from shared.database import Transaction
from shared.names import organization_name

slug_reservation = Table(
    "slug_reservation",
    METADATA,
    Column("slug", Text, primary_key=True),
    Column("organization_id", BigInteger),
    Column("holder", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("fence_version", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("use_count", BigInteger, nullable=False),
    Column("last_used_at", DateTime(timezone=True)),
)

_USE_INDEXES = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('jit', 'off', true)
    """
)

# "type <> 3" (no REDIRECT) is written as the index has it, or the index could not be used. The mapping remembers the
# fence versions of slugs that have ended.
_READ_HOLDINGS = text(
    """
    SELECT mapping.organization_id,
        max(slug.slug) FILTER (WHERE type = :primary) AS primary_slug,
        max(slug.slug) FILTER (WHERE type = :temporary) AS temporary_slug,
        greatest(mapping.fence_version, max(slug.fence_version)) AS fence_version,
        coalesce(bool_or(type = :primary AND slug.state = :held), false) AS is_moving
    FROM organization_mapping AS mapping
    LEFT JOIN slug_reservation AS slug ON slug.organization_id = mapping.organization_id AND type <> 3
    WHERE mapping.organization_id = ANY (CAST(string_to_array(:ids, ',') AS bigint[]))
    GROUP BY mapping.organization_id
    """
)

# A redirect or a quarantine that is over is nobody's, whether the cleaner was there or not.
_END_EXPIRED = text(
    """
    DELETE FROM slug_reservation
    WHERE slug = ANY (string_to_array(:slugs, ',')) AND expires_at <= :now AND (type = 3 OR state = 2)
    """
)

_HOLD = text(
    """
    INSERT INTO slug_reservation
        (slug, organization_id, holder, region, type, state, fence_version, created_at, updated_at)
    SELECT held.slug, CAST(held.id AS bigint), :holder, :region, :type, :state, CAST(held.fence AS bigint), :now, :now
    FROM ROWS FROM (
        unnest(string_to_array(:slugs, ',')), unnest(string_to_array(:ids, ',')), unnest(string_to_array(:fences, ','))
    ) AS held (slug, id, fence)
    ON CONFLICT ON CONSTRAINT slug_reservation_pkey DO NOTHING
    RETURNING slug
    """
)

_HOLD_ONE = text(
    """
    INSERT INTO slug_reservation
        (slug, organization_id, holder, region, type, state, fence_version, created_at, updated_at)
    VALUES (:slug, :organization_id, :holder, :region, :type, :state, :fence_version, :now, :now)
    ON CONFLICT ON CONSTRAINT slug_reservation_pkey DO NOTHING
    RETURNING slug
    """
)

_GIVE = text(
    """
    UPDATE slug_reservation
    SET organization_id = :organization_id, holder = :holder, state = :state, updated_at = :now
    WHERE slug = :slug
    """
)

# A redirect that was taken back for a rename keeps its end: it is a redirect again when the rename comes to nothing.
_PARK = text("UPDATE slug_reservation SET organization_id = NULL WHERE slug = ANY (string_to_array(:slugs, ','))")

_SET = text(
    """
    UPDATE slug_reservation AS slug
    SET organization_id = CAST(given.id AS bigint), region = given.region, fence_version = CAST(given.fence AS bigint),
        holder = :holder, state = :state, updated_at = :now
    FROM ROWS FROM (
        unnest(string_to_array(:slugs, ',')), unnest(string_to_array(:ids, ',')),
        unnest(string_to_array(:regions, ',')), unnest(string_to_array(:fences, ','))
    ) AS given (slug, id, region, fence)
    WHERE slug.slug = given.slug
    """
)

_FIND_TAKEN = text(
    """
    SELECT slug FROM slug_reservation
    WHERE slug = ANY (string_to_array(:slugs, ','))
        AND NOT coalesce(expires_at <= :now AND (type = 3 OR state = 2), false)
    """
)

_RELEASE = text("DELETE FROM slug_reservation WHERE slug = ANY (string_to_array(:slugs, ',')) AND expires_at IS NULL")
_RESTORE = text(
    """
    UPDATE slug_reservation
    SET type = :type, state = :state, holder = 'organizations/' || organization_id, updated_at = :now
    WHERE slug = ANY (string_to_array(:slugs, ',')) AND expires_at IS NOT NULL AND type <> 3
    """
)

_RAISE_FENCE = text(
    """
    UPDATE slug_reservation SET fence_version = :fence_version, updated_at = :now
    WHERE slug = :slug AND fence_version < :fence_version
    """
)

_PROMOTE = text(
    """
    UPDATE slug_reservation
    SET type = :type, state = :state, holder = 'organizations/' || organization_id, expires_at = NULL, use_count = 0,
        last_used_at = NULL, updated_at = :now
    WHERE slug = ANY (string_to_array(:slugs, ','))
    """
)


def use_indexes(transaction: Transaction) -> None:
    """Keep the rest of the transaction from scanning whole tables.

    A table that has grown since its last ANALYZE looks so small that a set of thousands is looked up by reading it all.
    """
    transaction.execute(_USE_INDEXES)


def read_holdings(transaction: Transaction, organization_ids: Iterable[int]) -> dict[int, Holding]:
    """What these organizations hold, redirects aside; one that has no mapping is left out."""
    parameters = {
        "ids": ",".join(map(str, organization_ids)),
        "primary": ReservationType.PRIMARY.value,
        "temporary": ReservationType.TEMPORARY_RENAME_ALIAS.value,
        "held": ReservationState.HELD.value,
    }
    return {
        row.organization_id: Holding(row.primary_slug, row.temporary_slug, row.fence_version, row.is_moving)
        for row in transaction.execute(_READ_HOLDINGS, parameters).all()
    }


def hold(transaction: Transaction, *, region: str, holder: str, offers: Sequence[tuple[str, Seeker]]) -> frozenset[str]:
    """Insert the free ones of these slugs, given by slug, as TEMPORARY and HELD; returns which were free.

    A slug that another transaction inserts at this moment is waited for.
    """
    parameters = {
        "slugs": ",".join(slug for slug, _ in offers),
        "ids": ",".join(str(seeker.organization_id) for _, seeker in offers),
        "fences": ",".join(str(seeker.fence_version) for _, seeker in offers),
        "holder": holder,
        "region": region,
        "type": ReservationType.TEMPORARY_RENAME_ALIAS.value,
        "state": ReservationState.HELD.value,
        "now": transaction.now,
    }
    transaction.execute(_END_EXPIRED, parameters)
    return frozenset(transaction.execute(_HOLD, parameters).scalars().all())


def hold_one(
    transaction: Transaction, slug: str, *, organization_id: int | None, holder: str, region: str, fence_version: int
) -> bool:
    """Insert one slug as HELD if it is free: TEMPORARY of an organization, or PRIMARY of one that is still to be made.

    A slug that another transaction inserts at this moment is waited for.
    """
    role = ReservationType.PRIMARY if organization_id is None else ReservationType.TEMPORARY_RENAME_ALIAS
    parameters = {
        "slug": slug,
        "organization_id": organization_id,
        "holder": holder,
        "region": region,
        "type": role.value,
        "state": ReservationState.HELD.value,
        "fence_version": fence_version,
        "now": transaction.now,
    }
    transaction.execute(_END_EXPIRED, {"slugs": slug, "now": transaction.now})
    return transaction.execute(_HOLD_ONE, parameters).scalar() is not None


def give(transaction: Transaction, slug: str, organization_id: int) -> None:
    """Make a held PRIMARY slug the new organization's own."""
    parameters = {
        "slug": slug,
        "organization_id": organization_id,
        "holder": organization_name(organization_id),
        "state": ReservationState.ACTIVE.value,
        "now": transaction.now,
    }
    transaction.execute(_GIVE, parameters)


def release(transaction: Transaction, slugs: Iterable[str]) -> None:
    """End these slugs' rows, which are no redirects; one that was a redirect before is one again."""
    parameters = {
        "slugs": ",".join(sorted(slugs)),
        "type": ReservationType.REDIRECT.value,
        "state": ReservationState.ACTIVE.value,
        "now": transaction.now,
    }
    transaction.execute(_RELEASE, parameters)
    transaction.execute(_RESTORE, parameters)


def promote(transaction: Transaction, slugs: Iterable[str]) -> None:
    """Make these slugs' rows PRIMARY and ACTIVE, held by their organizations."""
    parameters = {
        "slugs": ",".join(sorted(slugs)),
        "type": ReservationType.PRIMARY.value,
        "state": ReservationState.ACTIVE.value,
        "now": transaction.now,
    }
    transaction.execute(_PROMOTE, parameters)


def raise_fence(transaction: Transaction, slug: str, fence_version: int) -> None:
    """Give the reservation a higher fence version."""
    transaction.execute(_RAISE_FENCE, {"slug": slug, "fence_version": fence_version, "now": transaction.now})


def find_taken(transaction: Transaction, slugs: Iterable[str]) -> frozenset[str]:
    """Those of these case-folded slugs that somebody holds."""
    parameters = {"slugs": ",".join(slugs), "now": transaction.now}
    return frozenset(transaction.execute(_FIND_TAKEN, parameters).scalars().all())


def exchange(transaction: Transaction, holder: str, moves: Sequence[tuple[str, int, str, int]]) -> None:
    """Hand slugs over, each (slug, organization, region, fence version): all are parked first, then set, HELD."""
    slugs = ",".join(slug for slug, *_ in moves)
    transaction.execute(_PARK, {"slugs": slugs})
    parameters = {
        "slugs": slugs,
        "ids": ",".join(str(organization_id) for _, organization_id, _, _ in moves),
        "regions": ",".join(region for _, _, region, _ in moves),
        "fences": ",".join(str(fence_version) for *_, fence_version in moves),
        "holder": holder,
        "state": ReservationState.HELD.value,
        "now": transaction.now,
    }
    transaction.execute(_SET, parameters)


def find(transaction: Transaction, slug: str) -> Reservation | None:
    """The reservation of a case-folded slug."""
    row = transaction.execute(select(slug_reservation).where(slug_reservation.c.slug == slug)).one_or_none()
    return None if row is None else _reservation(row)


def list_page(
    transaction: Transaction, *, after_slug: str, limit: int, organization_id: int | None
) -> list[Reservation]:
    """Up to `limit` reservations by slug, above `after_slug`; of one organization only when given."""
    statement = select(slug_reservation).where(slug_reservation.c.slug > after_slug)
    if organization_id is not None:
        statement = statement.where(slug_reservation.c.organization_id == organization_id)
    rows = transaction.execute(statement.order_by(slug_reservation.c.slug).limit(limit))
    return [_reservation(row) for row in rows]


def _reservation(row: Row[tuple[object, ...]]) -> Reservation:
    return Reservation(
        slug=row.slug,
        organization_id=row.organization_id,
        holder=row.holder,
        region=row.region,
        type=ReservationType(row.type),
        state=ReservationState(row.state),
        fence_version=row.fence_version,
        expires_at=row.expires_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        use_count=row.use_count,
        last_used_at=row.last_used_at,
    )
