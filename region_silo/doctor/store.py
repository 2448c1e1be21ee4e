"""The SQL of a region's records for the doctor, and of letting control's word count again."""

from sqlalchemy import text

from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.doctor.domain import OrganizationRecord, TokenRecord

_STATES = ("importing", "active")

_ORGANIZATIONS = text(
    """
    SELECT organization.id, organization.slug, organization.fence_version, organization.version, organization.name,
        organization.state, organization.deletion, organization.purge_at, made.change_set, EXISTS (
            SELECT FROM outbox_message
            WHERE target = 'control' AND aggregate IN ('organizations/' || organization.id, made.change_set)
        ) AS waits
    FROM (
        SELECT * FROM organization WHERE id > :after_id ORDER BY id LIMIT :rows_max
    ) AS organization
    LEFT JOIN LATERAL (
        SELECT min(change_set) AS change_set FROM organization_provision WHERE organization_id = organization.id
    ) AS made ON true
    ORDER BY organization.id
    """
)
_TOKENS = text(
    """
    SELECT id, version, revoked_at IS NOT NULL AS revoked FROM token
    WHERE id > :after_id ORDER BY id LIMIT :rows_max
    """
)
_IDS = text("SELECT id FROM organization WHERE id > :after_id ORDER BY id LIMIT :rows_max")
_FORGET_TOKENS = text("UPDATE token SET version = 0 WHERE version > 0")
_FORGET_USERS = text("UPDATE known_user SET version = 0 WHERE version > 0")
_FORGET_DIRECTORY = text("UPDATE region_directory SET version = 0 WHERE version > 0")


def organizations(transaction: Transaction, region: str, *, after_id: int, rows_max: int) -> list[OrganizationRecord]:
    """The organizations by id; `region` is this one's name."""
    rows = transaction.execute(_ORGANIZATIONS, {"after_id": after_id, "rows_max": rows_max})
    return [
        OrganizationRecord(
            organization_id=row.id,
            region=region,
            slug=row.slug or "",
            primary_slug=row.slug or "",
            fence_version=row.fence_version,
            version=row.version,
            name=row.name,
            state=_STATES[row.state],
            change_set=row.change_set or "",
            in_flight=row.waits or row.state == 0 or row.deletion == DeletionStage.DELETING,
            purge_at=row.purge_at if row.deletion == DeletionStage.PENDING else None,
        )
        for row in rows
    ]


def tokens(transaction: Transaction, *, after_id: int, rows_max: int) -> list[TokenRecord]:
    """The replicas by id."""
    rows = transaction.execute(_TOKENS, {"after_id": after_id, "rows_max": rows_max})
    return [TokenRecord(row.id, row.version, row.revoked) for row in rows]


def ids(transaction: Transaction, *, after_id: int, rows_max: int) -> list[int]:
    """The organizations' ids, ascending."""
    return list(transaction.execute(_IDS, {"after_id": after_id, "rows_max": rows_max}).scalars())


def forget_versions(transaction: Transaction) -> None:
    """Let whatever control tells of tokens, regions and users count."""
    transaction.execute(_FORGET_TOKENS)
    transaction.execute(_FORGET_USERS)
    transaction.execute(_FORGET_DIRECTORY)
