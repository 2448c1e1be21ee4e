"""Teams' rows and their links to members and projects: each function is one statement unless it says more."""

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, and_, delete, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from sqlalchemy.dialects.postgresql import insert as upsert

from region_silo.members.access import may_see
from region_silo.members.domain import Team
from region_silo.members.tables import TEAM_ACTIVE, organization_member_team, project_team, team
from shared.database import Transaction


def insert_team(transaction: Transaction, row: Team) -> bool:
    """Write a new team; False, and nothing written, when its organization has the slug already."""
    statement = (
        upsert(team)
        .values(
            id=row.id,
            organization_id=row.organization_id,
            slug=row.slug,
            name=row.name,
            status=TEAM_ACTIVE,
            idp_provisioned=False,
            date_added=row.date_added,
        )
        .on_conflict_do_nothing(constraint="team_organization_id_slug_key")
        .returning(team.c.id)
    )
    return transaction.execute(statement).one_or_none() is not None


def by_id(transaction: Transaction, organization_id: int, team_id: int, user_id: int | None) -> Team | None:
    """The organization's team with that id, with those of its projects that the caller sees."""
    projects = func.array(
        select(project_team.c.project_id)
        .where(
            project_team.c.team_id == team.c.id,
            may_see(project_team.c.project_id, organization_id, user_id),
        )
        .order_by(project_team.c.project_id)
        .correlate(team)
        .scalar_subquery()
    )
    row = transaction.execute(_shown(projects).where(_is(organization_id, team_id))).one_or_none()
    return None if row is None else _team(row)


def id_by_slug(transaction: Transaction, organization_id: int, slug: str) -> int | None:
    """The id of the organization's team with that slug."""
    statement = select(team.c.id).where(team.c.organization_id == organization_id, team.c.slug == slug)
    found: int | None = transaction.execute(statement).scalar_one_or_none()
    return found


def after_id(transaction: Transaction, organization_id: int, after: int, limit: int) -> list[Team]:
    """At most `limit` teams with an id above `after`, ascending, without their projects."""
    statement = (
        _shown(literal([], ARRAY(BIGINT)))
        .where(team.c.organization_id == organization_id, team.c.id > after)
        .order_by(team.c.id)
        .limit(limit)
    )
    return [_team(row) for row in transaction.execute(statement)]


def hold(transaction: Transaction, organization_id: int, team_id: int, *, to_delete: bool = False) -> bool:
    """Keep the team from being deleted until the transaction ends, or wait to delete it; False without such one."""
    statement = select(team.c.id).where(_is(organization_id, team_id))
    if to_delete:
        statement = statement.with_for_update()
    else:
        statement = statement.with_for_update(read=True, key_share=True)
    return transaction.execute(statement).one_or_none() is not None


def add_member(transaction: Transaction, organization_id: int, team_id: int, member_id: int) -> None:
    """Put the member into the team; one who was in it before, or left it, is in it."""
    statement = upsert(organization_member_team).values(
        organization_id=organization_id, team_id=team_id, organization_member_id=member_id, is_active=True
    )
    transaction.execute(
        statement.on_conflict_do_update(
            constraint="organization_member_team_team_id_organization_member_id_key", set_={"is_active": True}
        )
    )


def remove_member(transaction: Transaction, team_id: int, member_id: int) -> None:
    """Take the member out of the team."""
    transaction.execute(
        delete(organization_member_team).where(
            organization_member_team.c.team_id == team_id,
            organization_member_team.c.organization_member_id == member_id,
        )
    )


def grant(transaction: Transaction, organization_id: int, team_id: int, project_id: int) -> None:
    """Let the team work on the project."""
    statement = upsert(project_team).values(organization_id=organization_id, project_id=project_id, team_id=team_id)
    transaction.execute(statement.on_conflict_do_nothing(constraint="project_team_project_id_team_id_key"))


def revoke(transaction: Transaction, team_id: int, project_id: int) -> None:
    """End the team's work on the project."""
    transaction.execute(
        delete(project_team).where(project_team.c.team_id == team_id, project_team.c.project_id == project_id)
    )


def delete_team(transaction: Transaction, team_id: int) -> None:
    """Delete the team with its links, in five statements; who removes a member locks links in the same order."""
    _delete_links(transaction, organization_member_team, organization_member_team.c.team_id == team_id)
    _delete_links(transaction, project_team, project_team.c.team_id == team_id)
    transaction.execute(delete(team).where(team.c.id == team_id))


def _delete_links(transaction: Transaction, table: Table, condition: ColumnElement[bool]) -> None:
    held = select(table.c.id).where(condition).order_by(table.c.id).with_for_update()
    links = transaction.execute(held).scalars().all()
    transaction.execute(delete(table).where(table.c.id.in_(links)))


def _shown(projects: ColumnElement[Any]) -> Select[Any]:
    members = (
        select(func.count())
        .select_from(organization_member_team)
        .where(organization_member_team.c.team_id == team.c.id, organization_member_team.c.is_active)
        .correlate(team)
        .scalar_subquery()
    )
    return select(
        team.c.id,
        team.c.organization_id,
        team.c.slug,
        team.c.name,
        team.c.date_added,
        members.label("member_count"),
        projects.label("project_ids"),
    )


def _is(organization_id: int, team_id: int) -> ColumnElement[bool]:
    return and_(team.c.organization_id == organization_id, team.c.id == team_id)


def _team(row: Row[Any]) -> Team:
    return Team(
        row.id, row.organization_id, row.slug, row.name, row.date_added, row.member_count, tuple(row.project_ids)
    )
