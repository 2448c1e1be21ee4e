"""Making invited addresses their users' memberships, one member for one person.

An invitation counts when somebody with the right to do so made it, it has not run out, and its organization is neither
being written by an import nor to be deleted; those of one that is kept after all count again. Where its user is a
member already, the two become one: the higher role and the teams of both stay.
"""

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Row, text

from region_silo.members import mirror
from region_silo.members.domain import Role
from region_silo.members.tables import APPROVED
from region_silo.organizations.domain import OrganizationState
from region_silo.users.domain import KnownUser, Standing
from shared import audit
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.names import member_name

_OFFERED = """
    member.user_id IS NULL AND member.email IS NOT NULL AND member.invite_status = :approved
    AND (member.token_expires_at IS NULL OR member.token_expires_at > :now)
    AND organization.state = :active AND organization.deletion = :kept
"""
_WHICH = text(
    f"""
    SELECT DISTINCT lower(member.email) AS address
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE lower(member.email) = ANY (CAST(:addresses AS text[])) AND {_OFFERED}
    """
)
WHO = """
    SELECT known.id, known.version, known.state, known.addresses FROM known_user AS known
    WHERE known.addresses <> '{}' AND known.addresses && ARRAY(
        SELECT lower(member.email) FROM organization_member AS member
        WHERE member.organization_id = :organization_id AND member.user_id IS NULL AND member.email IS NOT NULL
    )
    ORDER BY known.id
    """
"""SQL of the users who are known by an address that one of an organization was invited by."""
_WHO = text(WHO)
_ORGANIZATIONS = f"""
    SELECT member.organization_id
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE lower(member.email) = ANY (CAST(:addresses AS text[])) AND {_OFFERED}
"""
_HOLD = text(
    f"""
    SELECT member.id, member.organization_id, member.user_id, member.email, member.role
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE (lower(member.email) = ANY (CAST(:addresses AS text[])) AND {_OFFERED})
        OR (member.user_id = :user_id AND member.organization_id IN ({_ORGANIZATIONS}))
    ORDER BY member.id FOR UPDATE OF member
    """
)
_KEEP = text(
    """
    UPDATE organization_member
    SET user_id = :user_id, role = :role, user_email = coalesce(user_email, :email), user_is_active = :is_active,
        invite_status = :approved, token = NULL, token_expires_at = NULL, version = version + 1
    WHERE id = :id
    """
)
_MOVE_TEAMS = text(
    """
    UPDATE organization_member_team AS link SET organization_member_id = :kept
    WHERE link.organization_member_id = :merged AND NOT EXISTS (
        SELECT 1 FROM organization_member_team AS other
        WHERE other.team_id = link.team_id AND other.organization_member_id = :kept
    )
    """
)
_ACTIVATE_TEAMS = text(
    """
    UPDATE organization_member_team AS link SET is_active = true
    FROM organization_member_team AS other
    WHERE link.organization_member_id = :kept AND other.organization_member_id = :merged
        AND other.team_id = link.team_id AND other.is_active AND NOT link.is_active
    """
)
_LEAVE_TEAMS = text("DELETE FROM organization_member_team WHERE organization_member_id = :merged")
_DELETE = text("DELETE FROM organization_member WHERE id = :merged")

_RANKS = {role: rank for rank, role in enumerate((Role.MEMBER, Role.ADMIN, Role.MANAGER, Role.OWNER), start=1)}
"""Who may do more ranks higher: spec/releases.md 2.1."""


def give(transaction: Transaction, users: Sequence[KnownUser]) -> None:
    """Make the invitations of these users' addresses their memberships; a repeat changes nothing."""
    offered = {
        "approved": APPROVED,
        "active": OrganizationState.ACTIVE.value,
        "kept": DeletionStage.NONE.value,
        "now": transaction.now,
    }
    addresses = sorted({address for user in users for address in user.addresses})
    if not addresses:
        return
    invited = set(transaction.execute(_WHICH, {**offered, "addresses": addresses}).scalars())
    for user in users:
        own = [address for address in user.addresses if address in invited]
        if own:
            _give(transaction, user, own, offered)


def give_again(transaction: Transaction, organization_id: int) -> None:
    """After an organization is kept after all: its invitations become memberships of the users that are known."""
    found = transaction.execute(_WHO, {"organization_id": organization_id}).all()
    give(transaction, [KnownUser(row.id, Standing(row.state), row.version, tuple(row.addresses)) for row in found])


def _give(transaction: Transaction, user: KnownUser, addresses: list[str], offered: dict[str, object]) -> None:
    found = transaction.execute(_HOLD, {**offered, "addresses": addresses, "user_id": user.id}).all()
    by_organization = sorted(found, key=lambda row: (row.organization_id, row.id))
    for organization_id, rows in groupby(by_organization, key=lambda row: row.organization_id):
        _become_one(transaction, user, organization_id, list(rows))


def _become_one(
    transaction: Transaction, user: KnownUser, organization_id: int, rows: list[Row[tuple[object, ...]]]
) -> None:
    invitations = [row for row in rows if row.user_id is None]
    if not invitations:  # another message gave them away meanwhile
        return
    kept = next((row for row in rows if row.user_id is not None), rows[0])
    role = max((row.role for row in rows), key=_rank)
    merged = [row.id for row in rows if row.id != kept.id]
    for member_id in merged:
        pair = {"kept": kept.id, "merged": member_id}
        transaction.execute(_ACTIVATE_TEAMS, pair)
        transaction.execute(_MOVE_TEAMS, pair)
        transaction.execute(_LEAVE_TEAMS, {"merged": member_id})
        transaction.execute(_DELETE, {"merged": member_id})
    transaction.execute(
        _KEEP,
        {
            "id": kept.id,
            "user_id": user.id,
            "role": role,
            "email": invitations[0].email,
            "is_active": user.standing is Standing.ACTIVE,
            "approved": APPROVED,
        },
    )
    mirror.announce(transaction, organization_id, [kept.id, *merged])
    audit.record(
        transaction,
        action="member.accept_invitation",
        target=member_name(organization_id, kept.id),
        organization_id=organization_id,
        detail={"user": f"users/{user.id}", "role": role, "merged": len(merged)},
    )


def _rank(word: str) -> int:
    """The rank of a row's role; one of another system ranks below all."""
    role = Role.of(word)
    return 0 if role is None else _RANKS[role]
