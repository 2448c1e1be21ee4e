"""SQL on organization_membership. Rows are written in the order of their keys."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import text

from control_silo.memberships.domain import Membership, MembershipKey, UserOrganization
from shared.database import Transaction

_WHOSE = text(
    """
    SELECT given.id AS organization_id, mapping.region FROM unnest(CAST(:ids AS bigint[])) AS given (id)
    LEFT JOIN organization_mapping AS mapping ON mapping.organization_id = given.id
    """
)
_FIND = text(
    """
    SELECT mirror.organization_id, mirror.member_id, mirror.user_id, mirror.email, mirror.role, mirror.version
    FROM unnest(CAST(:organizations AS bigint[]), CAST(:members AS bigint[])) AS given (organization_id, member_id)
    JOIN organization_membership AS mirror USING (organization_id, member_id)
    """
)
_WRITE = text(
    """
    INSERT INTO organization_membership
        (organization_id, member_id, region, user_id, email, role, version, updated_at)
    SELECT organization_id, member_id, :region, user_id, nullif(email, ''), role, version, :now
    FROM json_to_recordset(CAST(:rows AS json)) AS told
        (organization_id bigint, member_id bigint, user_id bigint, email text, role text, version bigint)
    ORDER BY organization_id, member_id
    ON CONFLICT ON CONSTRAINT organization_membership_pkey DO UPDATE
    SET region = excluded.region, user_id = excluded.user_id, email = excluded.email, role = excluded.role,
        version = excluded.version, updated_at = excluded.updated_at
    """
)
_REMOVE = text(
    """
    DELETE FROM organization_membership AS mirror
    USING unnest(CAST(:organizations AS bigint[]), CAST(:members AS bigint[])) AS given (organization_id, member_id)
    WHERE mirror.organization_id = given.organization_id AND mirror.member_id = given.member_id
    """
)
_HOLD = text("LOCK TABLE organization_membership IN SHARE MODE")
_REGIONS_OF = text("SELECT DISTINCT region FROM organization_membership WHERE user_id = :user_id ORDER BY region")
_REGIONS_INVITING = text(
    """
    SELECT DISTINCT region FROM organization_membership
    WHERE user_id IS NULL AND email IS NOT NULL AND lower(email) = lower(:email) ORDER BY region
    """
)
_LIST = text(
    """
    SELECT mirror.organization_id, mirror.member_id, mirror.role, mapping.slug, mapping.region,
        directory.public_address
    FROM organization_membership AS mirror
    JOIN organization_mapping AS mapping ON mapping.organization_id = mirror.organization_id
    LEFT JOIN region_directory AS directory ON directory.name = mapping.region
    WHERE mirror.user_id = :user_id
        AND (mirror.organization_id, mirror.member_id) > (:after_organization_id, :after_member_id)
        AND (CAST(:only_id AS bigint) IS NULL OR mirror.organization_id = :only_id)
    ORDER BY mirror.organization_id, mirror.member_id LIMIT :rows_max
    """
)
_HAS_ROLE = text(
    """
    SELECT EXISTS (
        SELECT FROM organization_membership
        WHERE user_id = :user_id AND organization_id = :organization_id AND role = ANY (CAST(:roles AS text[]))
    )
    """
)


def has_role(transaction: Transaction, user_id: int, organization_id: int, roles: Sequence[str]) -> bool:
    """Whether the user is a member of the organization in one of these roles."""
    parameters = {"user_id": user_id, "organization_id": organization_id, "roles": list(roles)}
    return bool(transaction.execute(_HAS_ROLE, parameters).scalar_one())


def regions_of_organizations(transaction: Transaction, organization_ids: Iterable[int]) -> dict[int, str | None]:
    """The region that each organization is mapped to, None for those without a mapping."""
    found = transaction.execute(_WHOSE, {"ids": sorted(organization_ids)})
    return {row.organization_id: row.region for row in found}


def find(transaction: Transaction, keys: Sequence[MembershipKey]) -> dict[MembershipKey, Membership]:
    """The rows of these keys that exist."""
    found = {}
    for row in transaction.execute(_FIND, _arrays(keys)):
        key = MembershipKey(row.organization_id, row.member_id)
        found[key] = Membership(key, row.user_id, row.email or "", row.role, row.version)
    return found


def write(transaction: Transaction, region: str, memberships: Sequence[Membership]) -> None:
    """Insert or replace the rows."""
    rows = [
        {
            "organization_id": told.key.organization_id,
            "member_id": told.key.member_id,
            "user_id": told.user_id,
            "email": told.email,
            "role": told.role,
            "version": told.version,
        }
        for told in memberships
    ]
    encoded = msgspec.json.encode(rows).decode()
    transaction.execute(_WRITE, {"region": region, "rows": encoded, "now": transaction.now})


def remove(transaction: Transaction, keys: Sequence[MembershipKey]) -> None:
    """Delete the rows."""
    transaction.execute(_REMOVE, _arrays(keys))


def hold(transaction: Transaction) -> None:
    """Wait for all who write the mirror at this moment, and keep others from it until the end."""
    transaction.execute(_HOLD)


def regions_of(transaction: Transaction, user_id: int) -> list[str]:
    """The regions in which the user is a member of an organization."""
    return list(transaction.execute(_REGIONS_OF, {"user_id": user_id}).scalars())


def regions_inviting(transaction: Transaction, email: str) -> list[str]:
    """The regions in which the address is invited, in any case of the letters."""
    return list(transaction.execute(_REGIONS_INVITING, {"email": email}).scalars())


def list_of_user(
    transaction: Transaction, user_id: int, *, after: MembershipKey, limit: int, only_id: int | None
) -> list[UserOrganization]:
    """Up to `limit` memberships of the user by key, behind `after`; `only_id` leaves out all other organizations."""
    parameters = {
        "user_id": user_id,
        "after_organization_id": after.organization_id,
        "after_member_id": after.member_id,
        "rows_max": limit,
        "only_id": only_id,
    }
    return [
        UserOrganization(
            MembershipKey(row.organization_id, row.member_id),
            row.role,
            row.slug or "",
            row.region,
            row.public_address or "",
        )
        for row in transaction.execute(_LIST, parameters)
    ]


def _arrays(keys: Sequence[MembershipKey]) -> dict[str, list[int]]:
    return {"organizations": [key.organization_id for key in keys], "members": [key.member_id for key in keys]}
