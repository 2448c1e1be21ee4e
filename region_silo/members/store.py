"""Members' rows: each function is one statement unless it says more."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from region_silo.members.domain import HeldMember, Member, MemberDraft, MemberState, Role
from region_silo.members.membership import stands_for
from region_silo.members.tables import APPROVED, organization_member, organization_member_team
from region_silo.users.domain import Standing
from region_silo.users.store import known_user
from shared.database import Transaction

_TYPE_MEMBER = 50
"""What the exports hold for every member; nothing reads it."""

_STANDING = (
    select(known_user.c.state).where(known_user.c.id == organization_member.c.user_id).correlate(organization_member)
).scalar_subquery()
_SHOWN = select(
    organization_member.c.id,
    organization_member.c.organization_id,
    organization_member.c.user_id,
    organization_member.c.email,
    organization_member.c.role,
    organization_member.c.date_added,
    organization_member.c.user_is_active,
    _STANDING.label("standing"),
)
_STANDS = and_(
    organization_member.c.user_id.is_not(None),
    organization_member.c.user_is_active,
    organization_member.c.invite_status == APPROVED,
    # Members from before there was a replica of users have no row in it, and stand as they always did.
    func.coalesce(_STANDING, Standing.ACTIVE.value) == Standing.ACTIVE.value,
)


def by_id(transaction: Transaction, organization_id: int, member_id: int) -> Member | None:
    """The organization's member with that id."""
    statement = _SHOWN.where(_is(organization_id, member_id))
    row = transaction.execute(statement).one_or_none()
    return None if row is None else _member(row)


def after_id(
    transaction: Transaction, organization_id: int, after: int, limit: int, team_id: int | None
) -> list[Member]:
    """At most `limit` members with an id above `after`, ascending; `team_id` leaves out those of other teams."""
    statement = _SHOWN.where(organization_member.c.organization_id == organization_id, organization_member.c.id > after)
    if team_id is not None:
        in_team = select(organization_member_team.c.id).where(
            organization_member_team.c.organization_member_id == organization_member.c.id,
            organization_member_team.c.team_id == team_id,
            organization_member_team.c.is_active,
        )
        statement = statement.where(in_team.exists())
    statement = statement.order_by(organization_member.c.id).limit(limit)
    return [_member(row) for row in transaction.execute(statement)]


def role_of(transaction: Transaction, organization_id: int, user_id: int) -> Role | None:
    """The role of the user in the organization; None for one of another system and without membership."""
    statement = select(organization_member.c.role).where(stands_for(organization_id, user_id))
    word = transaction.execute(statement).scalar_one_or_none()
    return None if word is None else Role.of(word)


def find_same(transaction: Transaction, organization_id: int, draft: MemberDraft) -> int | None:
    """The first member that already is the draft's user or has its address, in any case of the letters."""
    same: ColumnElement[bool] = organization_member.c.user_id == draft.user_id
    if draft.email:
        same = or_(
            func.lower(organization_member.c.email) == draft.email,
            func.lower(organization_member.c.user_email) == draft.email,
        )
    statement = (
        select(organization_member.c.id)
        .where(organization_member.c.organization_id == organization_id, same)
        .order_by(organization_member.c.id)
        .limit(1)
    )
    found: int | None = transaction.execute(statement).scalar_one_or_none()
    return found


def insert_member(
    transaction: Transaction,
    organization_id: int,
    draft: MemberDraft,
    inviter_id: int | None,
    *,
    is_active: bool = True,
) -> Member | None:
    """Write a new member, in two statements; None, and nothing written, when user or address is there already."""
    assert draft.role is not None, "a checked draft has a role"
    statement = (
        upsert(organization_member)
        .values(
            organization_id=organization_id,
            user_id=draft.user_id,
            email=draft.email or None,
            role=draft.role.value,
            flags=0,
            has_global_access=True,
            inviter_id=inviter_id,
            invite_status=APPROVED,
            type=_TYPE_MEMBER,
            user_is_active=is_active,
            date_added=transaction.now,
        )
        .on_conflict_do_nothing()
        .returning(organization_member.c.id)
    )
    member_id = transaction.execute(statement).scalar_one_or_none()
    return None if member_id is None else by_id(transaction, organization_id, member_id)


def hold_with_owners(transaction: Transaction, organization_id: int, member_id: int) -> list[HeldMember]:
    """Keep that member and all owners of the organization from changing until the transaction ends; by id.

    Everybody who might take away an owner comes by here, so two never count each other's owner as the one who stays.
    """
    statement = (
        select(organization_member.c.id, organization_member.c.role, _STANDS.label("stands"))
        .where(
            organization_member.c.organization_id == organization_id,
            or_(organization_member.c.role == Role.OWNER.value, organization_member.c.id == member_id),
        )
        .order_by(organization_member.c.id)
        .with_for_update()
    )
    return [HeldMember(row.id, Role.of(row.role), row.stands) for row in transaction.execute(statement)]


def hold(transaction: Transaction, organization_id: int, member_id: int) -> bool:
    """Keep the member from being removed until the transaction ends; False when the organization has no such one."""
    statement = (
        select(organization_member.c.id)
        .where(_is(organization_id, member_id))
        .with_for_update(read=True, key_share=True)
    )
    return transaction.execute(statement).one_or_none() is not None


def set_role(transaction: Transaction, member_id: int, role: Role) -> None:
    """Write the role."""
    raised = organization_member.c.version + 1
    transaction.execute(
        update(organization_member).where(organization_member.c.id == member_id).values(role=role.value, version=raised)
    )


def set_active(transaction: Transaction, user_ids: Sequence[int], *, is_active: bool) -> None:
    """Let the memberships of these users count, or no longer; rows are locked in the order of their ids."""
    held = (
        select(organization_member.c.id)
        .where(organization_member.c.user_id.in_(user_ids), organization_member.c.user_is_active != is_active)
        .order_by(organization_member.c.id)
        .with_for_update()
    )
    rows = transaction.execute(held).scalars().all()
    if rows:
        changed = update(organization_member).where(organization_member.c.id.in_(rows))
        transaction.execute(changed.values(user_is_active=is_active))


def leave_teams(transaction: Transaction, member_id: int) -> None:
    """Take the member out of all teams, in two statements; the links are locked in the order of their ids."""
    held = (
        select(organization_member_team.c.id)
        .where(organization_member_team.c.organization_member_id == member_id)
        .order_by(organization_member_team.c.id)
        .with_for_update()
    )
    links = transaction.execute(held).scalars().all()
    transaction.execute(delete(organization_member_team).where(organization_member_team.c.id.in_(links)))


def delete_member(transaction: Transaction, member_id: int) -> None:
    """Delete the row; its teams are left before."""
    transaction.execute(delete(organization_member).where(organization_member.c.id == member_id))


def _is(organization_id: int, member_id: int) -> ColumnElement[bool]:
    return and_(organization_member.c.organization_id == organization_id, organization_member.c.id == member_id)


def _member(row: Row[Any]) -> Member:
    return Member(
        row.id, row.organization_id, row.user_id, row.email or "", Role.of(row.role), row.date_added, _state(row)
    )


def _state(row: Row[Any]) -> MemberState:
    if row.user_id is None:
        return MemberState.INVITED
    if not row.user_is_active:
        return MemberState.INACTIVE
    return MemberState.UNCONFIRMED if row.standing == Standing.UNCONFIRMED.value else MemberState.ACTIVE
