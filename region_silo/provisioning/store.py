"""SQL of making an organization, and of which request it was made for."""

from datetime import timedelta

from sqlalchemy import text

from region_silo.organizations.domain import OrganizationState
from shared.database import Transaction
from shared.delivery import CreateOrganization

INVITATION_TTL = timedelta(days=30)
"""How long an invitation can be accepted."""

_FIND_MADE = text("SELECT organization_id, version FROM organization_provision WHERE change_set = :change_set")

_KEEP_MADE = text(
    """
    INSERT INTO organization_provision (change_set, organization_id, version, created_at)
    VALUES (:change_set, :organization_id, :version, :now)
    """
)

_ADD_ORGANIZATION = text(
    """
    INSERT INTO organization
        (id, slug, base_slug, name, state, status, default_role, flags, is_test, date_added, fence_version, version)
    VALUES (:id, :slug, :slug, :name, :state, 0, 'member', 1, :is_test, :now, :fence_version, :version)
    ON CONFLICT ON CONSTRAINT organization_slug_key DO NOTHING
    RETURNING id
    """
)

_ADD_OWNER = text(
    """
    INSERT INTO organization_member
        (organization_id, user_id, email, role, flags, token, token_expires_at, has_global_access, invite_status, type,
         user_is_active, date_added)
    VALUES
        (:organization_id, :user_id, :email, 'owner', 0, :token, :token_expires_at, true, 0, 50, :is_active, :now)
    RETURNING id
    """
)

_ADD_TEAM = text(
    """
    INSERT INTO team (id, organization_id, slug, name, status, idp_provisioned, date_added)
    VALUES (:id, :organization_id, :slug, :name, 0, false, :now)
    """
)

_ADD_TO_TEAM = text(
    """
    INSERT INTO organization_member_team (organization_id, organization_member_id, team_id, is_active)
    VALUES (:organization_id, :member_id, :team_id, true)
    """
)

_FIRST_VERSION = 1


def find_made(transaction: Transaction, change_set: str) -> tuple[int, int] | None:
    """The organization that was made for a request, and its first version; (0, 0) for a request that was cancelled."""
    row = transaction.execute(_FIND_MADE, {"change_set": change_set}).one_or_none()
    return None if row is None else (row.organization_id, row.version)


def keep_made(transaction: Transaction, change_set: str, organization_id: int, version: int) -> None:
    """Remember what was made for a request; organization 0: it was cancelled before."""
    parameters = {"change_set": change_set, "organization_id": organization_id, "version": version}
    transaction.execute(_KEEP_MADE, {**parameters, "now": transaction.now})


def add_organization(transaction: Transaction, asked: CreateOrganization) -> int | None:
    """Insert the organization, ACTIVE with its slug; its version, or None when another one has that slug."""
    parameters = {
        "id": asked.organization_id,
        "slug": asked.slug,
        "name": asked.name,
        "state": OrganizationState.ACTIVE.value,
        "is_test": asked.is_test,
        "fence_version": asked.fence_version,
        "version": _FIRST_VERSION,
        "now": transaction.now,
    }
    made = transaction.execute(_ADD_ORGANIZATION, parameters).scalar()
    return None if made is None else _FIRST_VERSION


def add_owner(
    transaction: Transaction,
    organization_id: int,
    *,
    user_id: int | None,
    email: str | None,
    invitation: str | None,
    is_active: bool,
) -> int:
    """Insert the owner, as a user or invited by e-mail with an invitation's secret; returns the member's id."""
    parameters = {
        "organization_id": organization_id,
        "user_id": user_id,
        "email": email,
        "token": invitation,
        "token_expires_at": None if invitation is None else transaction.now + INVITATION_TTL,
        "is_active": is_active,
        "now": transaction.now,
    }
    member_id: int = transaction.execute(_ADD_OWNER, parameters).scalar_one()
    return member_id


def add_team(
    transaction: Transaction, organization_id: int, *, team_id: int, slug: str, name: str, member_id: int
) -> None:
    """Insert a team with one member."""
    team = {"id": team_id, "organization_id": organization_id, "slug": slug, "name": name, "now": transaction.now}
    transaction.execute(_ADD_TEAM, team)
    membership = {"organization_id": organization_id, "member_id": member_id, "team_id": team_id}
    transaction.execute(_ADD_TO_TEAM, membership)
