"""Which projects a caller may see, as a condition of the statements that ask: never from a cache.

A caller without a user sees all projects of the organizations that its token is for; what it may do there its scopes
say. A caller that acts as a user sees those of the user's teams; all of them as an owner or manager, or as any member
of an organization with open membership; without membership none. Sources: spec/releases.md 2.1, and the imported
system's public documentation of roles ("manager: admin access on all teams") and of open membership ("on by default":
flag 1 of the exports). A team, and a place in it, count when they are active.
"""

from sqlalchemy import ColumnElement, and_, or_, select, true

from region_silo.members.domain import ADMINISTERING
from region_silo.members.membership import stands_for
from region_silo.members.tables import (
    TEAM_ACTIVE,
    organization_member,
    organization_member_team,
    project_team,
    team,
)
from region_silo.organizations.domain import FLAG_OPEN_MEMBERSHIP
from region_silo.organizations.store import organization


def may_see(
    project_id: ColumnElement[int],
    organization_id: int | ColumnElement[int],
    user_id: int | ColumnElement[int] | None,
) -> ColumnElement[bool]:
    """Whether the caller sees a project of the organization; `project_id` is a column of an enclosing FROM."""
    if user_id is None:
        return true()
    member = stands_for(organization_id, user_id)
    # It stands alone, so that PostgreSQL asks it once for a whole list.
    sees_all = (
        select(organization_member.c.id)
        .join(organization, organization.c.id == organization_member.c.organization_id)
        .where(
            member,
            or_(
                organization_member.c.role.in_([role.value for role in ADMINISTERING]),
                organization.c.flags.op("&")(FLAG_OPEN_MEMBERSHIP) != 0,
            ),
        )
        .correlate(None)
        .exists()
    )
    in_team = (
        select(project_team.c.id)
        .join(team, and_(team.c.id == project_team.c.team_id, team.c.status == TEAM_ACTIVE))
        .join(organization_member_team, organization_member_team.c.team_id == team.c.id)
        .join(organization_member, organization_member.c.id == organization_member_team.c.organization_member_id)
        .where(project_team.c.project_id == project_id, organization_member_team.c.is_active, member)
        .correlate_except(project_team, team, organization_member_team, organization_member)
        .exists()
    )
    return or_(sees_all, in_team)
