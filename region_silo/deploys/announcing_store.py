"""SQL of announcing: which finished deploys are due, what is written for them, and what their environments run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from region_silo.releases.store import IDENT_LENGTH_MAX
from shared.database import Transaction
from shared.delivery import ANNOUNCED_PROJECTS_MAX

ACTIVITY_DEPLOY = 17

# Commits that are still to come: the release has heads, no commits yet, and somebody is to fetch them.
_AWAITS_COMMITS = """
    EXISTS (SELECT FROM release_head_commit head WHERE head.release_id = {release_id})
    AND NOT EXISTS (SELECT FROM release_commit listed WHERE listed.release_id = {release_id})
    AND EXISTS (
        SELECT FROM commit_fetch asked
        WHERE asked.release_id = {release_id} AND asked.state IN ('queued', 'running')
    )
"""
_MARK = text(
    f"""
    UPDATE deploy SET announced_at = :now, row_version = row_version + 1
    WHERE id = ANY (ARRAY(
        SELECT id FROM deploy
        WHERE release_id = :release_id AND announced_at IS NULL AND date_finished IS NOT NULL
            AND NOT ({_AWAITS_COMMITS.format(release_id="CAST(:release_id AS bigint)")})
        ORDER BY date_finished, id LIMIT :rows_max
    ))
    RETURNING id
    """
)
_READ = text(
    f"""
    SELECT deploy.id, release.version, environment.name AS environment, deploy.name, deploy.url, deploy.date_started,
        deploy.date_finished, deploy.announced_at,
        ARRAY(
            SELECT project_id FROM deploy_project WHERE deploy_id = deploy.id
            ORDER BY project_id LIMIT {ANNOUNCED_PROJECTS_MAX}
        ) AS project_ids,
        (SELECT count(*) FROM deploy_project WHERE deploy_id = deploy.id) AS project_count
    FROM deploy
    JOIN release ON release.id = deploy.release_id
    JOIN environment ON environment.id = deploy.environment_id
    WHERE deploy.id = ANY (CAST(:ids AS bigint[]))
    ORDER BY deploy.date_finished, deploy.id
    """
)
_ADD_ACTIVITIES = text(
    f"""
    INSERT INTO activity (organization_id, project_id, type, ident, datetime, data, deploy_id)
    SELECT deploy.organization_id, link.project_id, {ACTIVITY_DEPLOY}, left(release.version, {IDENT_LENGTH_MAX}),
        deploy.date_finished,
        jsonb_build_object(
            'version', release.version, 'deploy_id', CAST(deploy.id AS text), 'environment', environment.name
        ),
        deploy.id
    FROM deploy
    JOIN deploy_project link ON link.deploy_id = deploy.id
    JOIN release ON release.id = deploy.release_id
    JOIN environment ON environment.id = deploy.environment_id
    WHERE deploy.id = ANY (CAST(:ids AS bigint[]))
    ORDER BY link.project_id, deploy.id
    ON CONFLICT (project_id, deploy_id) WHERE type = {ACTIVITY_DEPLOY} DO NOTHING
    """
)
# Only who holds the environments sees all deploys that others have put there; the lock is no reader's concern.
_HOLD_ENVIRONMENTS = text(
    """
    SELECT id FROM environment
    WHERE id = ANY (ARRAY(SELECT environment_id FROM deploy WHERE id = ANY (CAST(:ids AS bigint[]))))
        AND EXISTS (SELECT FROM release_head_commit WHERE release_id = :release_id)
    ORDER BY id FOR NO KEY UPDATE
    """
)
_RUN_COMMITS = text(
    """
    INSERT INTO latest_repository_deploy AS known
        (repository_id, environment_id, organization_id, release_id, deploy_id, commit_id)
    SELECT head.repository_id, newest.environment_id, head.organization_id, head.release_id, newest.id, head.commit_id
    FROM release_head_commit head
    CROSS JOIN (
        SELECT DISTINCT ON (environment_id) environment_id, id FROM deploy
        WHERE id = ANY (CAST(:ids AS bigint[]))
        ORDER BY environment_id, date_finished DESC, id DESC
    ) newest
    WHERE head.release_id = :release_id
    ORDER BY head.repository_id, newest.environment_id
    ON CONFLICT ON CONSTRAINT latest_repository_deploy_pkey DO UPDATE
        SET release_id = excluded.release_id, deploy_id = excluded.deploy_id, commit_id = excluded.commit_id
        WHERE NOT EXISTS (
            SELECT FROM deploy other, deploy mine
            WHERE other.id = known.deploy_id AND mine.id = excluded.deploy_id
                AND (other.date_finished, other.id) > (mine.date_finished, mine.id)
        )
    """
)
_FIND_DUE = text(
    f"""
    SELECT deploy.release_id, deploy.organization_id FROM deploy
    JOIN organization ON organization.id = deploy.organization_id
        AND organization.deletion = 0 AND organization.state = 1
    WHERE deploy.announced_at IS NULL AND deploy.date_finished IS NOT NULL AND deploy.release_id > :after_id
        AND NOT ({_AWAITS_COMMITS.format(release_id="deploy.release_id")})
    GROUP BY deploy.release_id, deploy.organization_id
    ORDER BY deploy.release_id LIMIT :rows_max
    """
)
_HOLD_FREE = text(
    """
    SELECT release.id FROM release
    JOIN organization ON organization.id = release.organization_id
        AND organization.deletion = 0 AND organization.state = 1
    WHERE release.id = :release_id
    FOR SHARE OF organization SKIP LOCKED FOR UPDATE OF release SKIP LOCKED
    """
)


@dataclass(frozen=True)
class DueDeploy:
    """A deploy as it is announced; `project_ids` are the first ANNOUNCED_PROJECTS_MAX."""

    id: int
    version: str
    environment: str
    name: str
    url: str
    started_at: datetime | None
    finished_at: datetime
    announced_at: datetime
    project_ids: tuple[int, ...]
    project_count: int


def mark(transaction: Transaction, release_id: int, rows_max: int) -> list[int]:
    """Mark up to `rows_max` finished deploys of the release as announced, unless it waits for commits; their ids."""
    values = {"release_id": release_id, "rows_max": rows_max, "now": transaction.now}
    return sorted(transaction.execute(_MARK, values).scalars())


def read(transaction: Transaction, ids: Sequence[int]) -> list[DueDeploy]:
    """These deploys, the earliest finish first."""
    return [
        DueDeploy(
            id=row.id,
            version=row.version,
            environment=row.environment,
            name=row.name or "",
            url=row.url or "",
            started_at=row.date_started,
            finished_at=row.date_finished,
            announced_at=row.announced_at,
            project_ids=tuple(row.project_ids),
            project_count=row.project_count,
        )
        for row in transaction.execute(_READ, {"ids": list(ids)})
    ]


def add_activities(transaction: Transaction, ids: Sequence[int]) -> None:
    """One DEPLOY activity for each project of each deploy that has none yet."""
    transaction.execute(_ADD_ACTIVITIES, {"ids": list(ids)})


def run_commits(transaction: Transaction, release_id: int, ids: Sequence[int]) -> None:
    """The environments of these deploys run the release's heads now, unless a deploy that finished later is there."""
    values = {"release_id": release_id, "ids": list(ids)}
    if transaction.execute(_HOLD_ENVIRONMENTS, values).all():
        transaction.execute(_RUN_COMMITS, values)


def find_due(transaction: Transaction, after_id: int, rows_max: int) -> list[tuple[int, int]]:
    """(release, organization) above that release's id that have something to announce and may be written."""
    rows = transaction.execute(_FIND_DUE, {"after_id": after_id, "rows_max": rows_max})
    return [(row.release_id, row.organization_id) for row in rows]


def hold_free(transaction: Transaction, release_id: int) -> bool:
    """Lock the release unless somebody else holds it, its organization changes, or it may not be written."""
    return transaction.execute(_HOLD_FREE, {"release_id": release_id}).one_or_none() is not None
