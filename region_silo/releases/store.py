"""Releases' rows, their links to projects and their activities: each function is one statement.

A release is read whole in one statement, with its newest commit, heads and authors; `user_id` is the user that the
caller acts as, and leaves out what that user may not see. The semver columns are computed
when the row is inserted, never later.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert

from region_silo.members.access import may_see
from region_silo.organizations.store import organization
from region_silo.releases.domain import (
    AUTHORS_SHOWN_MAX,
    Commit,
    Release,
    ReleaseFields,
    ReleaseState,
    RepositoryHead,
    etag_of,
)
from region_silo.releases.permission import ORGANIZATION_ID, USER_ID, asking, is_readable
from region_silo.releases.tables import (
    ACTIVITY_RELEASE,
    COMMIT_ORDER,
    commit,
    commit_author,
    release,
    release_commit,
    release_head_commit,
    release_project,
    repository,
)
from region_silo.releases.versions import VersionInfo, describe, parse_hash, parse_version
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.statements import Statement

USER_AGENT_LENGTH_MAX = 256
IDENT_LENGTH_MAX = 64
_SEMVER_COLUMNS = ("package", "major", "minor", "patch", "revision", "prerelease", "build_code", "build_number")

CommitPlace = tuple[int, int, int]
"""A commit's place in its release: layer, sort_time_us, position; higher is newer."""


_COUNT_CHANGE = Statement("UPDATE release SET row_version = row_version + 1 WHERE id = :release_id")
_WRITE_FIELDS = Statement(
    """
    UPDATE release SET ref = :ref, url = :url, date_released = :date_released, status = :status,
        owner_id = :owner_id, row_version = row_version + 1
    WHERE id = :release_id
    """
)
_ADD_ACTIVITIES = Statement(
    f"""
    INSERT INTO activity (organization_id, project_id, type, ident, datetime, data, version_digest)
    SELECT organization_id, project_id, {ACTIVITY_RELEASE}, :ident, :datetime,
        jsonb_build_object('version', CAST(:version AS text)), :version_digest
    FROM release_project
    WHERE release_id = :release_id
        AND (CAST(:project_ids AS bigint[]) IS NULL OR project_id = ANY(CAST(:project_ids AS bigint[])))
    ORDER BY project_id
    ON CONFLICT (project_id, type, version_digest) WHERE type = {ACTIVITY_RELEASE} DO NOTHING
    """
)


@dataclass(frozen=True)
class NewRelease:
    """A release's row before it is one."""

    id: int
    organization_id: int
    version: str
    fields: ReleaseFields
    user_agent: str


def insert_release(transaction: Transaction, row: NewRelease) -> bool:
    """Write a new release; False, and nothing written, when its organization has the version already."""
    info = parse_version(row.version)
    numbers = {} if info is None or info.build_hash else {name: getattr(info, name) for name in _SEMVER_COLUMNS}
    statement = (
        upsert(release)
        .values(
            id=row.id,
            organization_id=row.organization_id,
            version=row.version,
            status=row.fields.state or ReleaseState.OPEN,
            ref=row.fields.ref or None,
            url=row.fields.url or None,
            date_released=row.fields.release_time,
            owner_id=row.fields.owner,
            date_added=transaction.now,
            user_agent=row.user_agent[:USER_AGENT_LENGTH_MAX] or None,
            **numbers,
        )
        .on_conflict_do_nothing(constraint="release_organization_id_version_key")
        .returning(release.c.id)
    )
    return transaction.execute(statement).one_or_none() is not None


def attach_projects(
    transaction: Transaction, organization_id: int, release_id: int, project_ids: Collection[int]
) -> list[int]:
    """Link these projects to the release; the ids of those that were not linked before, ascending."""
    rows = [
        {"organization_id": organization_id, "release_id": release_id, "project_id": project_id, "new_groups": 0}
        for project_id in sorted(project_ids)
    ]
    statement = (
        upsert(release_project)
        .values(rows)
        .on_conflict_do_nothing(constraint="release_project_release_id_project_id_key")
        .returning(release_project.c.project_id)
    )
    return sorted(transaction.execute(statement).scalars())


def update_release(transaction: Transaction, release_id: int, fields: ReleaseFields | None) -> None:
    """Write the fields when given, and count the change: the etag is another one for what is asked afterwards."""
    if fields is None:
        transaction.later(_COUNT_CHANGE, {"release_id": release_id})
        return
    values = {
        "release_id": release_id,
        "ref": fields.ref or None,
        "url": fields.url or None,
        "date_released": fields.release_time,
        "status": fields.state or ReleaseState.OPEN,
        "owner_id": fields.owner,
    }
    transaction.later(_WRITE_FIELDS, values)


def add_release_activities(
    transaction: Transaction,
    release_id: int,
    version: str,
    release_time: datetime,
    project_ids: Collection[int] | None = None,
) -> None:
    """One RELEASE activity for each of these projects of the release (None: all) that has none of that version yet."""
    values = {
        "release_id": release_id,
        "ident": version[:IDENT_LENGTH_MAX],
        "datetime": release_time,
        "version": version,
        "version_digest": hashlib.sha256(version.encode()).digest(),
        "project_ids": None if project_ids is None else sorted(project_ids),
    }
    transaction.later(_ADD_ACTIVITIES, values)


def read_release(
    transaction: Transaction, organization_id: int, version: str, user_id: int | None, *, below_held: bool = False
) -> Release | None:
    """The release with its newest commit, heads and authors; None also for one that the caller may not read.

    Nor is it there when its organization is being purged, which is not asked `below_held`.
    """
    statement = _whole_release(as_user=user_id is not None, below_held=below_held)
    row = transaction.one(statement, asking(organization_id, user_id, version=version))
    # The rule of is_readable: the projects in the row are those that the caller sees.
    return release_of(row, whole=True) if row is not None and row.project_ids else None


@lru_cache(maxsize=4)
def _whole_release(*, as_user: bool, below_held: bool) -> Statement:
    """The statement of `read_release`."""
    user_id = USER_ID if as_user else None
    # As in _commit_of: LIMIT keeps the planner from reading all commits first.
    head_commit = select(commit.c.key).where(commit.c.id == release_head_commit.c.commit_id).limit(1).lateral()
    head_repository = (
        select(repository.c.name).where(repository.c.id == release_head_commit.c.repository_id).limit(1).lateral()
    )
    heads = (
        select(
            func.jsonb_agg(
                aggregate_order_by(
                    func.jsonb_build_array(head_repository.c.name, head_commit.c.key), head_repository.c.name
                )
            )
        )
        .select_from(release_head_commit.join(head_commit, true()).join(head_repository, true()))
        .where(release_head_commit.c.release_id == release.c.id)
        .scalar_subquery()
    )
    of_release = commit_author.alias()
    authors = func.array(
        select(of_release.c.email)
        .where(of_release.c.id == func.any(cast(release.c.authors, ARRAY(BigInteger))))
        .order_by(of_release.c.email.collate("C"))
        .limit(AUTHORS_SHOWN_MAX)
        .scalar_subquery()
    )
    last = _commit_of(release.c.last_commit_id)
    return Statement(
        shown(ORGANIZATION_ID, user_id)
        .add_columns(
            heads.label("heads"),
            authors.label("emails"),
            func.cardinality(release.c.authors).label("author_count"),
            *last.c,
        )
        .select_from(release.outerjoin(last, true()))
        .where(
            release.c.organization_id == ORGANIZATION_ID,
            release.c.version == bindparam("version", type_=Text),
            true() if below_held else _is_kept(),
        )
    )


def _is_kept() -> ColumnElement[bool]:
    kept = select(organization.c.id).where(
        organization.c.id == ORGANIZATION_ID, organization.c.deletion != DeletionStage.DELETING
    )
    return kept.exists()


def release_id(transaction: Transaction, organization_id: int, version: str, user_id: int | None) -> int | None:
    """The id of the release with that version; None also for one that the caller may not read."""
    statement = select(release.c.id).where(
        release.c.organization_id == organization_id,
        release.c.version == version,
        is_readable(organization_id, user_id),
    )
    found: int | None = transaction.execute(statement).scalar_one_or_none()
    return found


def newest_commits(
    transaction: Transaction, release_id: int, before: CommitPlace | None, limit: int, bytes_max: int
) -> tuple[list[tuple[CommitPlace, Commit]], bool]:
    """At most `limit` commits with their places, newest first, of those older than the place `before`; are there more?

    It stops early, after one at least, when their messages together grow over `bytes_max`.
    """
    page = select(*COMMIT_ORDER, release_commit.c.commit_id).where(release_commit.c.release_id == release_id)
    if before is not None:
        page = page.where(tuple_(*COMMIT_ORDER) < tuple_(*map(literal, before)))
    listed = page.order_by(*(column.desc() for column in COMMIT_ORDER)).limit(limit + 1).subquery()
    newest_first = [listed.c[column.name].desc() for column in COMMIT_ORDER]
    shown_commit = _commit_of(listed.c.commit_id)
    size = func.octet_length(func.coalesce(shown_commit.c.message, ""))
    size_before = func.sum(size).over(order_by=newest_first, rows=(None, -1))
    places = [listed.c[column.name] for column in COMMIT_ORDER]
    found = (
        select(*places, func.coalesce(size_before, 0).label("size_before"), *shown_commit.c)
        .select_from(listed.join(shown_commit, true()))
        .subquery()
    )
    fits = found.c.size_before <= bytes_max
    shown = [column for column in found.c if column.name not in ("size_before", "message")]
    statement = select(*shown, fits.label("fits"), case((fits, found.c.message)).label("message"))
    order = [found.c[column.name].desc() for column in COMMIT_ORDER]
    rows = transaction.execute(statement.order_by(*order)).all()
    kept = [((row.layer, row.sort_time_us, row.position), _commit(row)) for row in rows[:limit] if row.fits]
    return kept, len(kept) < len(rows)


def shown(organization_id: int | ColumnElement[int], user_id: int | ColumnElement[int] | None) -> Select[Any]:
    """The columns of a release as lists show it, with the projects that the caller sees."""
    projects = func.array(
        select(release_project.c.project_id)
        .where(
            release_project.c.release_id == release.c.id,
            may_see(release_project.c.project_id, organization_id, user_id),
        )
        .order_by(release_project.c.project_id)
        .scalar_subquery()
    )
    return select(
        release.c.id,
        release.c.organization_id,
        release.c.version,
        release.c.status,
        release.c.ref,
        release.c.url,
        release.c.date_added,
        release.c.date_released,
        release.c.commit_count,
        release.c.package,
        release.c.major,
        release.c.minor,
        release.c.patch,
        release.c.revision,
        release.c.prerelease,
        release.c.build_code,
        release.c.build_number,
        release.c.row_version,
        release.c.owner_id,
        release.c.user_agent,
        release.c.total_deploys,
        release.c.last_deploy_id,
        projects.label("project_ids"),
    )


def _commit_of(commit_id: ColumnElement[int]) -> FromClause:
    """The commit with that id, as a side table of at most one row.

    LIMIT keeps the planner from joining all commits first, which it does when it thinks that they are few.
    """
    return (
        select(
            commit.c.key.label("commit_key"),
            repository.c.name.label("repository"),
            commit.c.message.label("message"),
            commit_author.c.name.label("author_name"),
            commit_author.c.email.label("author_email"),
            commit.c.commit_time.label("commit_time"),
        )
        .select_from(commit)
        .join(repository, repository.c.id == commit.c.repository_id)
        .outerjoin(commit_author, commit_author.c.id == commit.c.author_id)
        .where(commit.c.id == commit_id)
        .limit(1)
        .lateral()
    )


def release_of(row: Any, *, whole: bool) -> Release:
    """The release in a row of `shown`; `whole` when it has the commit, heads and addresses too."""
    return Release(
        id=row.id,
        organization_id=row.organization_id,
        version=row.version,
        project_ids=tuple(row.project_ids),
        ref=row.ref or "",
        url=row.url or "",
        create_time=row.date_added,
        release_time=row.date_released,
        state=ReleaseState(row.status),
        commit_count=row.commit_count,
        version_info=_version_info(row),
        etag=etag_of(row.id, row.row_version),
        last_commit=_commit(row) if whole and row.commit_key is not None else None,
        heads=tuple(RepositoryHead(*head) for head in row.heads or ()) if whole else (),
        authors=tuple(row.emails) if whole else (),
        owner=row.owner_id,
        user_agent=row.user_agent or "",
        deploy_count=row.total_deploys,
        last_deploy_id=row.last_deploy_id,
        author_count=row.author_count if whole else 0,
    )


def _commit(row: Any) -> Commit:
    return Commit(
        key=row.commit_key,
        repository=row.repository,
        message=row.message or "",
        author_name=row.author_name or "",
        author_email=row.author_email or "",
        commit_time=row.commit_time,
    )


def _version_info(row: Any) -> VersionInfo | None:
    if row.package is None:
        return parse_hash(row.version)
    return VersionInfo(
        package=row.package,
        major=row.major,
        minor=row.minor,
        patch=row.patch,
        revision=row.revision,
        prerelease=row.prerelease,
        build_code=row.build_code,
        build_number=row.build_number,
        description=describe(row.version),
    )
