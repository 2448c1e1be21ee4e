"""Rows of environments and what is seen in them: each function is one statement, but for making a new environment."""

from collections.abc import Sequence

from sqlalchemy import select, text

from region_silo.deploys.domain import Environment
from region_silo.deploys.store import NewDeploy
from region_silo.deploys.tables import environment, environment_project
from region_silo.members.access import may_see
from shared.database import Transaction

_FIND = text("SELECT id FROM environment WHERE organization_id = :organization_id AND name = :name")
_ADD = text(
    """
    INSERT INTO environment (organization_id, name, date_added) VALUES (:organization_id, :name, :now)
    ON CONFLICT ON CONSTRAINT environment_organization_id_name_key DO NOTHING
    """
)
_LINK_PROJECTS = text(
    """
    INSERT INTO environment_project (organization_id, project_id, environment_id)
    SELECT :organization_id, project_id, :environment_id
    FROM unnest(CAST(:project_ids AS bigint[])) AS given (project_id)
    ORDER BY project_id
    ON CONFLICT ON CONSTRAINT environment_project_project_id_environment_id_key DO NOTHING
    """
)
_SEE_RELEASE = text(
    """
    INSERT INTO release_environment AS known (organization_id, release_id, environment_id, first_seen, last_seen)
    VALUES (:organization_id, :release_id, :environment_id, :now, :now)
    ON CONFLICT ON CONSTRAINT release_environment_release_id_environment_id_key
        DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen)
    """
)
_SEE_PROJECTS = text(
    """
    INSERT INTO release_project_environment AS known
        (organization_id, release_id, project_id, environment_id, first_seen, last_seen, last_deploy_id)
    SELECT :organization_id, :release_id, project_id, :environment_id, :now, :now, :deploy_id
    FROM unnest(CAST(:project_ids AS bigint[])) AS given (project_id)
    ORDER BY project_id
    ON CONFLICT ON CONSTRAINT release_project_environment_release_id_project_id_environment_id_key
        DO UPDATE SET last_deploy_id = excluded.last_deploy_id,
            last_seen = greatest(known.last_seen, excluded.last_seen)
    """
)


def find_or_add(transaction: Transaction, organization_id: int, name: str) -> int:
    """The id of the organization's environment of that name, which is made when there is none.

    Waits for who makes the same one meanwhile.
    """
    values = {"organization_id": organization_id, "name": name, "now": transaction.now}
    found: int | None = transaction.execute(_FIND, values).scalar_one_or_none()
    if found is None:
        transaction.execute(_ADD, values)
        found = transaction.execute(_FIND, values).scalar_one()
    return found


def see_deploy(transaction: Transaction, row: NewDeploy, projects: Sequence[int]) -> None:
    """Note that the release was deployed to the environment for these projects; the caller holds the release."""
    values = {
        "organization_id": row.organization_id,
        "release_id": row.release_id,
        "environment_id": row.environment_id,
        "deploy_id": row.id,
        "project_ids": list(projects),
        "now": transaction.now,
    }
    for statement in (_LINK_PROJECTS, _SEE_RELEASE, _SEE_PROJECTS):
        transaction.execute(statement, values)


def list_environments(
    transaction: Transaction,
    organization_id: int,
    user_id: int | None,
    *,
    project_id: int | None,
    after: str | None,
    limit: int,
) -> list[Environment]:
    """At most `limit` environments by name, those behind `after`; a user's are those of projects that it sees."""
    statement = select(environment.c.id, environment.c.organization_id, environment.c.name).where(
        environment.c.organization_id == organization_id
    )
    if project_id is not None or user_id is not None:
        link = select(environment_project.c.id).where(
            environment_project.c.environment_id == environment.c.id,
            may_see(environment_project.c.project_id, organization_id, user_id),
        )
        if project_id is not None:
            link = link.where(environment_project.c.project_id == project_id)
        statement = statement.where(link.correlate(environment).exists())
    if after is not None:
        statement = statement.where(environment.c.name > after)
    rows = transaction.execute(statement.order_by(environment.c.name).limit(limit))
    return [Environment(row.id, row.organization_id, row.name) for row in rows]
