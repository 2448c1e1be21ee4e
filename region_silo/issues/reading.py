"""SQL that reads issues: one with all that belongs to it, pages of many, and what happened to one.

An issue is read whole in one statement. `user_id` is the user that the caller acts as, and leaves out what that user
may not see; issues that are being deleted or merged are nobody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    Text,
    bindparam,
    func,
    literal,
    select,
    text,
    tuple_,
)

from region_silo.issues.domain import (
    ActivityType,
    Issue,
    IssueActivity,
    IssueKey,
    IssueLink,
    IssueState,
    LinkType,
    Resolution,
    ResolutionType,
)
from region_silo.issues.mentions import ShortId
from region_silo.issues.tables import (
    PENDING,
    RESOLVES,
    VISIBLE_BELOW,
    issue,
    issue_inbox,
    issue_resolution,
)
from region_silo.members.access import may_see
from region_silo.projects.store import project
from region_silo.releases.permission import ORGANIZATION_ID, USER_ID, asking
from region_silo.releases.tables import activity, release
from shared.database import Transaction

LINKS_MAX = 100

_ISSUE_ID = bindparam("issue_id", type_=BigInteger)
_SLUG = bindparam("slug", type_=Text)
_NUMBER = bindparam("number", type_=BigInteger)

_LINKS = text(
    """
    SELECT link.linked_type, link.relationship, coalesce(commit.key, pull.key, tracker.key) AS key,
        coalesce(repository.name, tracker.integration) AS source
    FROM issue_link link
    LEFT JOIN commit ON link.linked_type = 1 AND commit.id = link.linked_id
    LEFT JOIN pull_request pull ON link.linked_type = 2 AND pull.id = link.linked_id
    LEFT JOIN repository ON repository.id = coalesce(commit.repository_id, pull.repository_id)
    LEFT JOIN tracker_issue tracker ON link.linked_type = 3 AND tracker.id = link.linked_id
    WHERE link.issue_id = :issue_id AND coalesce(commit.id, pull.id, tracker.id) IS NOT NULL
    ORDER BY link.id DESC LIMIT :rows_max
    """
)


@dataclass(frozen=True)
class IssueFilter:
    """Which issues a list shows."""

    organization_id: int
    user_id: int | None
    project_id: int | None
    state: IssueState | None
    inbox_only: bool
    release_id: int | None


def read_issue(transaction: Transaction, organization_id: int, key: IssueKey, user_id: int | None) -> Issue | None:
    """The issue without its links; None also for one that the caller may not see."""
    statement = _one_issue(by_id=isinstance(key, int), as_user=user_id is not None)
    row = transaction.execute(statement, asking(organization_id, user_id, **_key_values(key))).one_or_none()
    return None if row is None else _issue(row)


def links_of(transaction: Transaction, issue_id: int) -> tuple[IssueLink, ...]:
    """What the issue is linked with, the newest first, at most LINKS_MAX."""
    rows = transaction.execute(_LINKS, {"issue_id": issue_id, "rows_max": LINKS_MAX})
    return tuple(
        IssueLink(LinkType(row.linked_type), row.key, row.source or "", row.relationship == RESOLVES) for row in rows
    )


def find(transaction: Transaction, organization_id: int, key: IssueKey, user_id: int | None) -> tuple[int, int] | None:
    """(issue id, project id); None also for one that the caller may not see."""
    statement = _find(by_id=isinstance(key, int), as_user=user_id is not None)
    row = transaction.execute(statement, asking(organization_id, user_id, **_key_values(key))).one_or_none()
    return None if row is None else (row.id, row.project_id)


def newest_issues(
    transaction: Transaction, wanted: IssueFilter, before: tuple[datetime, int] | None, limit: int
) -> list[Issue]:
    """At most `limit` issues that the caller may see, newest first by (first_seen, id), older than `before`."""
    statement = _shown().where(
        issue.c.organization_id == wanted.organization_id,
        issue.c.status < VISIBLE_BELOW,
        may_see(issue.c.project_id, wanted.organization_id, wanted.user_id),
    )
    if wanted.project_id is not None:
        statement = statement.where(issue.c.project_id == wanted.project_id)
    if wanted.state is not None:
        statement = statement.where(issue.c.status == wanted.state)
    if wanted.inbox_only:
        statement = statement.where(issue_inbox.c.issue_id.is_not(None))
    if wanted.release_id is not None:
        statement = statement.where(
            issue_resolution.c.release_id == wanted.release_id, issue_resolution.c.status != PENDING
        )
    if before is not None:
        statement = statement.where(tuple_(issue.c.first_seen, issue.c.id) < tuple_(*map(literal, before)))
    statement = statement.order_by(issue.c.first_seen.desc(), issue.c.id.desc()).limit(limit)
    return [_issue(row) for row in transaction.execute(statement)]


def newest_activities(
    transaction: Transaction, issue_id: int, before: tuple[datetime, int] | None, limit: int
) -> list[IssueActivity]:
    """At most `limit` activities of the issue, newest first by (datetime, id), older than `before`."""
    statement = select(activity).where(activity.c.group_id == issue_id, activity.c.type.in_([*map(int, ActivityType)]))
    if before is not None:
        statement = statement.where(tuple_(activity.c.datetime, activity.c.id) < tuple_(*map(literal, before)))
    statement = statement.order_by(activity.c.datetime.desc(), activity.c.id.desc()).limit(limit)
    return [
        IssueActivity(
            row.id,
            ActivityType(row.type),
            row.datetime,
            row.user_id,
            {name: str(value) for name, value in row.data.items()},
        )
        for row in transaction.execute(statement)
    ]


def _key_values(key: IssueKey) -> dict[str, object]:
    return {"slug": key.slug, "number": key.number} if isinstance(key, ShortId) else {"issue_id": key}


def _is_it(*, by_id: bool, as_user: bool) -> Sequence[ColumnElement[bool]]:
    named = (issue.c.id == _ISSUE_ID,) if by_id else (project.c.slug == _SLUG, issue.c.short_id == _NUMBER)
    return (
        *named,
        issue.c.organization_id == ORGANIZATION_ID,
        project.c.organization_id == ORGANIZATION_ID,
        issue.c.status < VISIBLE_BELOW,
        may_see(issue.c.project_id, ORGANIZATION_ID, USER_ID if as_user else None),
    )


@lru_cache(maxsize=4)
def _one_issue(*, by_id: bool, as_user: bool) -> Select[Any]:
    return _shown().where(*_is_it(by_id=by_id, as_user=as_user))


@lru_cache(maxsize=4)
def _find(*, by_id: bool, as_user: bool) -> Select[Any]:
    joined = issue.join(project, project.c.id == issue.c.project_id)
    return select(issue.c.id, issue.c.project_id).select_from(joined).where(*_is_it(by_id=by_id, as_user=as_user))


def _shown() -> Select[Any]:
    ended, first = release.alias(), release.alias()
    return (
        select(
            issue,
            project.c.slug.label("project_slug"),
            issue_inbox.c.issue_id.is_not(None).label("in_inbox"),
            func.coalesce(first.c.version, "").label("first_release"),
            ended.c.version.label("ended_version"),
            issue_resolution.c.type.label("ended_type"),
            issue_resolution.c.status.label("ended_status"),
            issue_resolution.c.actor_id,
            issue_resolution.c.datetime.label("ended_at"),
        )
        .select_from(issue)
        .join(project, project.c.id == issue.c.project_id)
        .outerjoin(issue_inbox, issue_inbox.c.issue_id == issue.c.id)
        .outerjoin(issue_resolution, issue_resolution.c.issue_id == issue.c.id)
        .outerjoin(ended, ended.c.id == issue_resolution.c.release_id)
        .outerjoin(first, first.c.id == issue.c.first_release_id)
    )


def _issue(row: Row[Any]) -> Issue:
    resolution = None
    if row.ended_version is not None:
        is_pending = row.ended_status == PENDING
        type_ = ResolutionType(row.ended_type)
        resolution = Resolution(row.ended_version, type_, is_pending, row.actor_id, row.ended_at)
    return Issue(
        id=row.id,
        organization_id=row.organization_id,
        project_id=row.project_id,
        short_id=str(ShortId(row.project_slug, row.short_id)),
        title=row.title,
        state=IssueState(row.status),
        resolve_time=row.resolved_at,
        resolution=resolution,
        in_inbox=row.in_inbox,
        first_release=row.first_release,
        first_seen_time=row.first_seen,
        last_seen_time=row.last_seen,
    )
