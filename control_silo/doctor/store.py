"""The SQL of control's records for the doctor, and of letting a region's word count again."""

from sqlalchemy import text

from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.doctor.domain import OrganizationRecord, TokenRecord
from shared.tokens import EVERYWHERE

_ORGANIZATIONS = text(
    """
    SELECT mapping.organization_id, mapping.region, mapping.slug, mapping.fence_version, mapping.version, mapping.name,
        mapping.state, mapping.deletion, mapping.purge_at, held.primary_slug, held.fence_version AS held_fence_version,
        coalesce(held.moves, false) AS moves
    FROM (
        SELECT * FROM organization_mapping
        WHERE (CAST(:region AS text) = '' OR region = :region) AND organization_id > :after_id
        ORDER BY organization_id LIMIT :rows_max
    ) AS mapping
    LEFT JOIN LATERAL (
        SELECT max(slug) FILTER (WHERE type = 0) AS primary_slug, max(fence_version) AS fence_version,
            bool_or(state = 0) AS moves
        FROM slug_reservation WHERE organization_id = mapping.organization_id AND type <> 3
    ) AS held ON true
    ORDER BY mapping.organization_id
    """
)
_TOKENS = text(
    """
    SELECT id, version, revoked_at IS NOT NULL AS revoked, EXISTS (
        SELECT FROM outbox_message
        WHERE aggregate = 'tokens/' || token.id AND (CAST(:region AS text) = '' OR target = :region)
    ) AS in_flight
    FROM token
    WHERE id > :after_id AND (CAST(:region AS text) = '' OR audience && CAST(ARRAY[:everywhere, :region] AS text[]))
    ORDER BY id LIMIT :rows_max
    """
)
_TO_BE_DELETED = text(
    """
    SELECT organization_id FROM organization_mapping
    WHERE deletion IN (1, 2) AND region = :region AND organization_id > :after_id
    ORDER BY organization_id LIMIT :rows_max
    """
)
_FORGET_MEMBERS = text("DELETE FROM organization_membership WHERE region = :region")
_FORGET_VERSIONS = text("UPDATE organization_mapping SET version = 0 WHERE region = :region AND version > 0")
# Whoever follows announcements knows numbers that a restored control has not given yet: it gives none of them again.
_RAISE_COUNTERS = text(
    """
    INSERT INTO announcement_counter AS counter (organization_id, value)
    SELECT organization_id, :gap FROM organization_mapping WHERE region = :region ORDER BY organization_id
    ON CONFLICT ON CONSTRAINT announcement_counter_pkey DO UPDATE SET value = counter.value + :gap
    """
)
_ANNOUNCEMENTS_GAP = 1_000_000
_RAISE_FENCE = text(
    """
    UPDATE region_directory SET fence = 1 + greatest(fence, (
        SELECT coalesce(max(fence_version), 0) FROM organization_mapping WHERE region = :region
    )) WHERE name = :region
    """
)


def organizations(transaction: Transaction, region: str, *, after_id: int, rows_max: int) -> list[OrganizationRecord]:
    """What control knows of organizations, by id."""
    parameters = {"region": region, "after_id": after_id, "rows_max": rows_max}
    return [
        OrganizationRecord(
            organization_id=row.organization_id,
            region=row.region,
            slug=row.slug or "",
            primary_slug=row.primary_slug or "",
            fence_version=max(row.fence_version, row.held_fence_version or 0),
            version=row.version,
            name=row.name,
            state=row.state,
            in_flight=row.moves or row.deletion >= DeletionStage.DELETING,
            purge_at=row.purge_at if row.deletion == DeletionStage.PENDING else None,
        )
        for row in transaction.execute(_ORGANIZATIONS, parameters)
    ]


def tokens(transaction: Transaction, region: str, *, after_id: int, rows_max: int) -> list[TokenRecord]:
    """Control's tokens, by id; those that a region is told of when one is given."""
    parameters = {"region": region, "everywhere": EVERYWHERE, "after_id": after_id, "rows_max": rows_max}
    return [
        TokenRecord(row.id, row.version, row.revoked, row.in_flight) for row in transaction.execute(_TOKENS, parameters)
    ]


def to_be_deleted(transaction: Transaction, region: str, *, after_id: int, rows_max: int) -> list[int]:
    """The region's organizations that are to be deleted, by id."""
    parameters = {"region": region, "after_id": after_id, "rows_max": rows_max}
    return list(transaction.execute(_TO_BE_DELETED, parameters).scalars())


def forget_versions(transaction: Transaction, region: str) -> None:
    """Let whatever the region tells of its organizations count, and nothing that it was given before.

    The mirror of its members begins anew: the region tells all of them, and hears of the users of each. The numbers of
    its organizations' announcements go on far above those that were given.
    """
    transaction.execute(_FORGET_MEMBERS, {"region": region})
    transaction.execute(_FORGET_VERSIONS, {"region": region})
    transaction.execute(_RAISE_FENCE, {"region": region})
    transaction.execute(_RAISE_COUNTERS, {"region": region, "gap": _ANNOUNCEMENTS_GAP})
