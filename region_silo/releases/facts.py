"""What a release's page tells beside the release: its projects, the releases around it, adoption, authors, files.

Facts are shown of projects that the caller sees only. Health data is what adoption tells: Siloway keeps no sessions, so
a project has health data of a release when the release was adopted there within the last 90 days, or was adopted and
has been seen since. A deploy alone is none. Rules: spec/releases.md 2.5 and 2.8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, text

from region_silo.members.tables import APPROVED
from region_silo.releases.domain import AUTHORS_SHOWN_MAX, Release, ReleaseState
from region_silo.releases.query_conditions import contains_pattern
from shared.database import Transaction

HEALTH_KEPT = timedelta(days=90)

HEALTH = """(coalesce(link.adopted >= CAST(:health_since AS timestamptz), false) OR EXISTS (
    SELECT FROM release_project_environment AS told
    WHERE told.release_id = link.release_id AND told.project_id = link.project_id AND told.adopted IS NOT NULL
        AND greatest(told.last_seen, told.adopted) >= CAST(:health_since AS timestamptz)))"""
"""Whether the project of a row `link` of release_project has health data of the release."""

# The stage is that of the environment where the release came furthest: adopted, then replaced, then low.
_PROJECTS = text(
    f"""
    SELECT link.project_id, project.slug, project.name, coalesce(project.platform, '') AS platform, link.new_groups,
        {HEALTH} AS has_health, stage.adopted, stage.unadopted
    FROM release_project AS link
    JOIN project ON project.id = link.project_id
    LEFT JOIN LATERAL (
        SELECT told.adopted, told.unadopted
        FROM release_project_environment AS told JOIN environment AS place ON place.id = told.environment_id
        WHERE told.release_id = link.release_id AND told.project_id = link.project_id AND told.adopted IS NOT NULL
            AND (CAST(:environments AS text[]) IS NULL OR place.name = ANY(CAST(:environments AS text[])))
        ORDER BY (told.unadopted IS NULL) DESC, told.adopted DESC, told.id DESC LIMIT 1
    ) AS stage ON true
    WHERE link.release_id = :release_id AND link.project_id = ANY(CAST(:project_ids AS bigint[]))
    ORDER BY project.slug COLLATE "C"
    """
)
_AUTHORS = text(
    f"""
    SELECT author.email, coalesce(author.name, '') AS name,
        (SELECT min(member.user_id) FROM organization_member AS member
        WHERE member.organization_id = author.organization_id AND member.user_id IS NOT NULL
            AND member.invite_status = {APPROVED} AND member.user_is_active
            AND lower(coalesce(member.user_email, member.email)) = author.email) AS user_id
    FROM release JOIN commit_author AS author ON author.id = ANY(CAST(release.authors AS bigint[]))
    WHERE release.id = :release_id AND author.organization_id = :organization_id
    ORDER BY author.email COLLATE "C" LIMIT {AUTHORS_SHOWN_MAX}
    """
)
_COUNT_FILES = text(
    """
    SELECT count(DISTINCT file.filename) FROM release_commit AS link
    JOIN commit_file_change AS file ON file.commit_id = link.commit_id
    WHERE link.release_id = :release_id
    """
)
_IN_ENVIRONMENTS = """AND EXISTS (
    SELECT FROM release_environment AS seen JOIN environment AS place ON place.id = seen.environment_id
    WHERE seen.release_id = near.id AND place.organization_id = :organization_id
        AND place.name = ANY(CAST(:environments AS text[])))"""


class AdoptionStage(Enum):
    """How far a release has been adopted."""

    LOW_ADOPTION = "low_adoption"
    ADOPTED = "adopted"
    REPLACED = "replaced"


@dataclass(frozen=True)
class ProjectFact:
    """A project as a release shows it; `stage` with its times."""

    project_id: int
    slug: str
    name: str
    platform: str
    new_issue_count: int
    has_health_data: bool
    stage: AdoptionStage
    adopt_time: datetime | None
    unadopt_time: datetime | None


@dataclass(frozen=True)
class Neighbours:
    """The versions around a release in one project; empty where there is none."""

    previous: str = ""
    next: str = ""
    first: str = ""
    last: str = ""


@dataclass(frozen=True)
class NeighbourFilter:
    """Which releases count as neighbours; the first and the last are filtered by project and environment only."""

    project_id: int
    environments: tuple[str, ...] = ()
    state: ReleaseState = ReleaseState.OPEN
    text: str = ""


@dataclass(frozen=True)
class AuthorFact:
    """Somebody who wrote commits; `user_id` is the organization's member with that address, None for nobody."""

    user_id: int | None
    name: str
    email: str


@dataclass(frozen=True)
class ReleaseFacts:
    """What a release's page tells; `neighbours` is None without a project, stages are there when asked for."""

    projects: tuple[ProjectFact, ...]
    neighbours: Neighbours | None
    authors: tuple[AuthorFact, ...]
    new_issue_count: int
    changed_file_count: int
    with_stages: bool


def read_facts(
    transaction: Transaction,
    release: Release,
    near: NeighbourFilter | None,
    environments: Sequence[str],
    *,
    with_stages: bool,
) -> ReleaseFacts:
    """The facts of a release that was read in this transaction: three statements, four with neighbours."""
    known = {"release_id": release.id, "organization_id": release.organization_id}
    asked = {
        "release_id": release.id,
        "project_ids": list(release.project_ids),
        "environments": list(environments) or None,
        "health_since": transaction.now - HEALTH_KEPT,
    }
    projects = tuple(_project(row) for row in transaction.execute(_PROJECTS, asked))
    authors = tuple(AuthorFact(row.user_id, row.name, row.email) for row in transaction.execute(_AUTHORS, known))
    files = transaction.execute(_COUNT_FILES, {"release_id": release.id}).scalar_one()
    counted = [fact.new_issue_count for fact in projects if near is None or fact.project_id == near.project_id]
    return ReleaseFacts(
        projects=projects,
        neighbours=None if near is None else read_neighbours(transaction, release, near),
        authors=authors,
        new_issue_count=sum(counted),
        changed_file_count=files,
        with_stages=with_stages,
    )


def read_neighbours(transaction: Transaction, release: Release, near: NeighbourFilter) -> Neighbours:
    """The releases around one in a project, by (date_added, id). One statement."""
    values = {
        "organization_id": release.organization_id,
        "project_id": near.project_id,
        "status": near.state.value,
        "patterns": _patterns(near.text),
        "date_added": release.create_time,
        "release_id": release.id,
    }
    if near.environments:
        values["environments"] = list(near.environments)
    row = transaction.execute(_neighbours(of_environments=bool(near.environments)), values).one()
    return Neighbours(*(version or "" for version in row))


@lru_cache(maxsize=2)
def _neighbours(*, of_environments: bool) -> TextClause:
    place = "(CAST(:date_added AS timestamptz), CAST(:release_id AS bigint))"
    filters = "AND near.status = :status AND near.version ILIKE ANY(CAST(:patterns AS text[]))"
    return text(
        f"""
        SELECT {_nearest(f"AND (near.date_added, near.id) < {place} {filters}", "DESC", of_environments)},
            {_nearest(f"AND (near.date_added, near.id) > {place} {filters}", "ASC", of_environments)},
            {_nearest("", "ASC", of_environments)},
            {_nearest("", "DESC", of_environments)}
        """
    )


def _nearest(condition: str, direction: str, of_environments: bool) -> str:
    return f"""(
        SELECT near.version FROM release_project AS link JOIN release AS near ON near.id = link.release_id
        WHERE link.project_id = :project_id AND near.organization_id = :organization_id {condition}
            {_IN_ENVIRONMENTS if of_environments else ""}
        ORDER BY near.date_added {direction}, near.id {direction} LIMIT 1)"""


def _patterns(wanted: str) -> list[str]:
    """Versions that hold the text; one of the form `X (Y)` is also found as `X+Y`, which it is shown for."""
    patterns = [contains_pattern(wanted)]
    version, found, build = wanted.removesuffix(")").rpartition(" (")
    if found and wanted.endswith(")"):
        patterns.append(contains_pattern(f"{version}+{build}"))
    return patterns


def _project(row: Any) -> ProjectFact:
    if row.adopted is None:
        stage = AdoptionStage.LOW_ADOPTION
    else:
        stage = AdoptionStage.ADOPTED if row.unadopted is None else AdoptionStage.REPLACED
    return ProjectFact(
        row.project_id,
        row.slug,
        row.name,
        row.platform,
        row.new_groups,
        row.has_health,
        stage,
        row.adopted,
        row.unadopted,
    )
