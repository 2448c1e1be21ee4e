"""Rows of deploys: each function is one statement. Writers hold the release's row, so its counts are exact.

`user_id` is the user that the caller acts as: a deploy of whose projects that user sees none is not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Select, Text, and_, bindparam, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on

from region_silo.deploys.domain import Deploy, DeployFields, etag_of
from region_silo.deploys.tables import deploy, deploy_project, environment
from region_silo.members.access import may_see
from region_silo.releases.permission import ORGANIZATION_ID, USER_ID, asking, is_readable
from region_silo.releases.tables import release
from shared.database import Transaction

_RELEASE_ID = bindparam("release_id", type_=BigInteger)
_DEPLOY_ID = bindparam("deploy_id", type_=BigInteger)

_PROJECTS = text("SELECT project_id FROM release_project WHERE release_id = :release_id ORDER BY project_id")
_INSERT = text(
    """
    INSERT INTO deploy (id, organization_id, release_id, environment_id, name, url, date_added, date_started,
        date_finished)
    VALUES (:id, :organization_id, :release_id, :environment_id, :name, :url, :now, :date_started, :date_finished)
    """
)
_LINK_PROJECTS = text(
    """
    INSERT INTO deploy_project (deploy_id, project_id, organization_id)
    SELECT :id, project_id, :organization_id FROM unnest(CAST(:project_ids AS bigint[])) AS given (project_id)
    ORDER BY project_id
    """
)
_COUNT = text(
    """
    UPDATE release SET total_deploys = total_deploys + 1, last_deploy_id = :id,
        row_version = row_version + 1
    WHERE id = :release_id
    """
)
_HOLD = text(
    """
    SELECT id, name, url, date_started, date_finished, announced_at, row_version FROM deploy
    WHERE id = :id AND release_id = :release_id FOR UPDATE
    """
)
_WRITE_FIELDS = text(
    """
    UPDATE deploy SET name = :name, url = :url, date_started = :date_started, date_finished = :date_finished,
        row_version = row_version + 1
    WHERE id = :id
    """
)


@dataclass(frozen=True)
class NewDeploy:
    """A deploy's row before it is one."""

    id: int
    organization_id: int
    release_id: int
    environment_id: int
    fields: DeployFields


@dataclass(frozen=True)
class HeldDeploy:
    """A deploy's row that nobody else changes until the transaction ends."""

    id: int
    fields: DeployFields
    announced_at: datetime | None
    etag: str


@dataclass(frozen=True)
class DeployFilter:
    """Which deploys of a release a list shows."""

    organization_id: int
    version: str
    environment: str
    latest_only: bool
    user_id: int | None


def project_ids(transaction: Transaction, release_id: int) -> list[int]:
    """The projects of a release, ascending."""
    return list(transaction.execute(_PROJECTS, {"release_id": release_id}).scalars())


def insert_deploy(transaction: Transaction, row: NewDeploy, projects: Sequence[int]) -> None:
    """Write a new deploy for these projects, and count it in its release. Raises IntegrityError of deploy_pkey."""
    values = {
        "id": row.id,
        "organization_id": row.organization_id,
        "release_id": row.release_id,
        "environment_id": row.environment_id,
        "now": transaction.now,
        **_columns(row.fields),
    }
    transaction.execute(_INSERT, values)
    transaction.execute(_LINK_PROJECTS, {**values, "project_ids": list(projects)})
    transaction.execute(_COUNT, values)


def hold(transaction: Transaction, release_id: int, deploy_id: int) -> HeldDeploy | None:
    """Lock the release's deploy with that id; None when there is no such one."""
    row = transaction.execute(_HOLD, {"id": deploy_id, "release_id": release_id}).one_or_none()
    if row is None:
        return None
    fields = DeployFields(row.name or "", row.url or "", row.date_started, row.date_finished)
    return HeldDeploy(row.id, fields, row.announced_at, etag_of(row.id, row.row_version))


def write_fields(transaction: Transaction, deploy_id: int, fields: DeployFields) -> None:
    """Write all fields, and count the change: the etag is another one afterwards."""
    transaction.execute(_WRITE_FIELDS, {"id": deploy_id, **_columns(fields)})


def read_deploy(
    transaction: Transaction, organization_id: int, version: str, deploy_id: int, user_id: int | None
) -> Deploy | None:
    """The deploy of that release with that id; None also for one that the caller may not read."""
    statement = _one_deploy(as_user=user_id is not None)
    values = asking(organization_id, user_id, version=version, deploy_id=deploy_id)
    row = transaction.execute(statement, values).one_or_none()
    return None if row is None else _deploy(row)


def list_deploys(
    transaction: Transaction, wanted: DeployFilter, before: tuple[datetime | None, int] | None, limit: int
) -> list[Deploy]:
    """At most `limit` deploys that the caller may read, the running ones first, then by finish, newest first.

    `before` is the (finish time, id) after whose place in that order the page begins.
    """
    user_id = wanted.user_id
    statement = _shown(wanted.organization_id, user_id).where(
        release.c.organization_id == wanted.organization_id, release.c.version == wanted.version
    )
    if wanted.environment:
        statement = statement.where(environment.c.name == wanted.environment)
    if wanted.latest_only:
        statement = statement.where(deploy.c.id.in_(_latest(wanted.organization_id, user_id)))
    if before is not None:
        statement = statement.where(_is_after(*before))
    statement = statement.order_by(deploy.c.date_finished.desc().nulls_first(), deploy.c.id.desc()).limit(limit)
    return [_deploy(row) for row in transaction.execute(statement)]


def _latest(organization_id: int, user_id: int | None) -> Select[Any]:
    """The ids of the first deploy of each project and environment of the enclosing release, in the list's order."""
    one, link = deploy.alias(), deploy_project.alias()
    return (
        select(one.c.id)
        .ext(distinct_on(link.c.project_id, one.c.environment_id))
        .join(link, link.c.deploy_id == one.c.id)
        .where(one.c.release_id == release.c.id, may_see(link.c.project_id, organization_id, user_id))
        .order_by(link.c.project_id, one.c.environment_id, one.c.date_finished.desc().nulls_first(), one.c.id.desc())
        .correlate(release)
    )


def _is_after(finished: datetime | None, deploy_id: int) -> ColumnElement[bool]:
    if finished is None:
        return or_(deploy.c.date_finished.is_not(None), deploy.c.id < deploy_id)
    return tuple_(deploy.c.date_finished, deploy.c.id) < tuple_(finished, deploy_id)


@lru_cache(maxsize=2)
def _one_deploy(*, as_user: bool) -> Select[Any]:
    """The statement of `read_deploy`, made once: building it costs more than running it."""
    return _shown(ORGANIZATION_ID, USER_ID if as_user else None).where(
        release.c.organization_id == ORGANIZATION_ID,
        release.c.version == bindparam("version", type_=Text),
        deploy.c.id == _DEPLOY_ID,
    )


def _shown(organization_id: int | ColumnElement[int], user_id: int | ColumnElement[int] | None) -> Select[Any]:
    seen = select(deploy_project.c.project_id).where(
        deploy_project.c.deploy_id == deploy.c.id, may_see(deploy_project.c.project_id, organization_id, user_id)
    )
    projects = func.array(seen.order_by(deploy_project.c.project_id).correlate(deploy).scalar_subquery())
    return (
        select(
            deploy.c.id,
            deploy.c.organization_id,
            release.c.version,
            environment.c.name.label("environment"),
            deploy.c.name,
            deploy.c.url,
            deploy.c.date_started,
            deploy.c.date_finished,
            deploy.c.announced_at,
            deploy.c.date_added,
            deploy.c.row_version,
            projects.label("project_ids"),
        )
        .select_from(deploy)
        .join(release, release.c.id == deploy.c.release_id)
        .join(environment, environment.c.id == deploy.c.environment_id)
        .where(and_(is_readable(organization_id, user_id), seen.correlate(deploy).exists()))
    )


def _columns(fields: DeployFields) -> dict[str, object]:
    return {
        "name": fields.display_name or None,
        "url": fields.url or None,
        "date_started": fields.start_time,
        "date_finished": fields.finish_time,
    }


def _deploy(row: Row[Any]) -> Deploy:
    return Deploy(
        id=row.id,
        organization_id=row.organization_id,
        version=row.version,
        environment=row.environment,
        display_name=row.name or "",
        url=row.url or "",
        start_time=row.date_started,
        finish_time=row.date_finished,
        announce_time=row.announced_at,
        create_time=row.date_added,
        project_ids=tuple(row.project_ids),
        etag=etag_of(row.id, row.row_version),
    )
