"""Who is a member of an organization, as a condition of the statements that ask: never from a cache.

A member counts when it was approved and its user is active. Source: spec/releases.md 2.1.
"""

from sqlalchemy import ColumnElement, and_, select

from region_silo.members.tables import APPROVED, organization_member


def stands_for(organization_id: ColumnElement[int] | int, user_id: ColumnElement[int] | int) -> ColumnElement[bool]:
    """Whether a row of members makes the user a member of the organization."""
    return and_(
        organization_member.c.organization_id == organization_id,
        organization_member.c.user_id == user_id,
        organization_member.c.invite_status == APPROVED,
        organization_member.c.user_is_active,
    )


def is_member(organization_id: ColumnElement[int] | int, user_id: ColumnElement[int] | int) -> ColumnElement[bool]:
    """Whether the user is a member; `organization_id` may be a column of an enclosing FROM."""
    found = select(organization_member.c.id).where(stands_for(organization_id, user_id))
    return found.correlate_except(organization_member).exists()
