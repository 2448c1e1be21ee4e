"""SQL on issues one by one: making, holding and changing one. What releases do to many is in resolving.py.

Who changes an issue holds its row, so that what stands in its other tables is one writer's.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, text

from region_silo.issues.domain import (
    ActivityType,
    IssueState,
    ResolutionType,
    TrackerIssue,
)
from region_silo.issues.tables import (
    LINKED_TRACKER_ISSUE,
    REASON_NEW,
    REFERENCES,
    VISIBLE_BELOW,
    issue,
    issue_inbox,
)
from region_silo.releases.permission import is_readable
from region_silo.releases.tables import activity, release, release_project
from shared.database import Transaction

_NEXT_SHORT_ID = text(
    """
    INSERT INTO project_counter AS counter (project_id, organization_id, value)
    VALUES (:project_id, :organization_id, 1)
    ON CONFLICT (project_id) DO UPDATE SET value = counter.value + 1 RETURNING counter.value
    """
)
_SET_STATUS = text(
    """
    UPDATE issue SET status = :status, substatus = NULL, resolved_at = :resolved_at, row_version = row_version + 1
    WHERE id = :issue_id
    """
)
_SAVE_RESOLUTION = text(
    """
    INSERT INTO issue_resolution
        (issue_id, organization_id, release_id, current_release_version, type, status, actor_id, datetime)
    VALUES (:issue_id, :organization_id, :release_id, :current_version, :type, :status, :actor_id, :now)
    ON CONFLICT (issue_id) DO UPDATE SET release_id = excluded.release_id,
        current_release_version = excluded.current_release_version, future_release_version = NULL,
        type = excluded.type, status = excluded.status, actor_id = excluded.actor_id, datetime = excluded.datetime
    """
)
_DROP_RESOLUTION = text("DELETE FROM issue_resolution WHERE issue_id = :issue_id")
_LEAVE_INBOX = text("DELETE FROM issue_inbox WHERE issue_id = :issue_id")
# What came before is the newest of the other kind: for an end what opened the issue, for what opens it an end; a review
# has none.
_ADD_HISTORY = text(
    """
    INSERT INTO issue_history (organization_id, issue_id, project_id, release_id, user_id, status, prev_history_id,
        prev_history_date, date_added)
    SELECT :organization_id, :issue_id, :project_id, :release_id, :user_id, :status, before.id, before.date_added, :now
    FROM (VALUES (1)) AS one (row)
    LEFT JOIN LATERAL (
        SELECT history.id, history.date_added FROM issue_history history
        WHERE history.issue_id = :issue_id AND history.status = ANY(CAST(:before AS smallint[]))
        ORDER BY history.id DESC LIMIT 1
    ) before ON true
    """
)
_OPENED = [0, 7]
_ENDED = [1, 11, 12, 13]
_BEFORE: dict[int, list[int]] = {**dict.fromkeys(_ENDED, _OPENED), **dict.fromkeys(_OPENED, _ENDED)}
_SAVE_TRACKER_ISSUE = text(
    """
    INSERT INTO tracker_issue AS stored (organization_id, integration, key, title, url, date_added)
    VALUES (:organization_id, :integration, :key, nullif(:title, ''), nullif(:url, ''), :now)
    ON CONFLICT (organization_id, integration, key) DO UPDATE
    SET title = coalesce(excluded.title, stored.title), url = coalesce(excluded.url, stored.url)
    RETURNING stored.id
    """
)
_LINK_TRACKER_ISSUE = text(
    f"""
    INSERT INTO issue_link (organization_id, issue_id, project_id, linked_type, linked_id, relationship, datetime)
    VALUES (:organization_id, :issue_id, :project_id, {LINKED_TRACKER_ISSUE}, :linked_id, {REFERENCES}, :now)
    ON CONFLICT (issue_id, linked_type, linked_id) DO NOTHING
    """
)
# Its other side is in resolving.py. A lock of the project's row would meet those of keys, and lock each other up.
_AWAIT_RELEASES = text("SELECT pg_advisory_xact_lock(:project_id)")
_NEWEST_RELEASE = text(
    """
    SELECT release.id, release.version FROM release_project place JOIN release ON release.id = place.release_id
    WHERE place.project_id = :project_id ORDER BY release.date_added DESC, release.id DESC LIMIT 1
    FOR KEY SHARE OF release
    """
)


@dataclass(frozen=True)
class IssuePlace:
    """Where an issue stands, and the id that it has there."""

    id: int
    organization_id: int
    project_id: int


@dataclass(frozen=True)
class HeldIssue(IssuePlace):
    """An issue whose row the transaction holds."""

    state: IssueState


@dataclass(frozen=True)
class NewIssue(IssuePlace):
    """An issue's row before it is one."""

    title: str
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True)
class ReleaseChoice:
    """A release that an issue may be resolved in."""

    id: int
    version: str


def insert_issue(transaction: Transaction, row: NewIssue, first_release_id: int | None) -> None:
    """Write a new issue with the next short id of its project, into the inbox."""
    values = {"project_id": row.project_id, "organization_id": row.organization_id}
    short_id = transaction.execute(_NEXT_SHORT_ID, values).scalar_one()
    state = {"status": IssueState.UNRESOLVED, "row_version": 1, "first_release_id": first_release_id}
    transaction.execute(insert(issue).values(**vars(row), **state, short_id=short_id))
    transaction.execute(
        insert(issue_inbox).values(issue_id=row.id, **values, reason=REASON_NEW, date_added=transaction.now)
    )


def hold(transaction: Transaction, issue_id: int) -> HeldIssue | None:
    """Lock the row of an issue that was found; None when it has gone since."""
    statement = (
        select(issue.c.id, issue.c.organization_id, issue.c.project_id, issue.c.status)
        .where(issue.c.id == issue_id, issue.c.status < VISIBLE_BELOW)
        .with_for_update(key_share=True)
    )
    row = transaction.execute(statement).one_or_none()
    return None if row is None else HeldIssue(row.id, row.organization_id, row.project_id, IssueState(row.status))


def set_state(transaction: Transaction, held: HeldIssue, state: IssueState) -> None:
    """Write the state; an issue that becomes resolved is so from now on."""
    resolved_at = transaction.now if state is IssueState.RESOLVED else None
    transaction.execute(_SET_STATUS, {"issue_id": held.id, "status": int(state), "resolved_at": resolved_at})


def save_resolution(
    transaction: Transaction,
    held: HeldIssue,
    type_: ResolutionType,
    release_choice: ReleaseChoice,
    actor_id: int | None,
) -> None:
    """Write how a release has to do with the issue's end, in place of what was there."""
    is_next = type_ is ResolutionType.IN_NEXT_RELEASE
    values = {
        "issue_id": held.id,
        "organization_id": held.organization_id,
        "release_id": release_choice.id,
        "current_version": release_choice.version if is_next else None,
        "type": int(type_),
        "status": 0 if is_next else 1,
        "actor_id": actor_id,
        "now": transaction.now,
    }
    transaction.execute(_SAVE_RESOLUTION, values)


def drop_resolution(transaction: Transaction, issue_id: int) -> None:
    """No release has to do with the issue's end any more."""
    transaction.execute(_DROP_RESOLUTION, {"issue_id": issue_id})


def leave_inbox(transaction: Transaction, issue_id: int) -> bool:
    """Take the issue out of the inbox; False when it was not there."""
    return transaction.execute(_LEAVE_INBOX, {"issue_id": issue_id}).rowcount > 0


def add_history(
    transaction: Transaction, held: HeldIssue, status: int, user_id: int | None, release_id: int | None = None
) -> None:
    """Note what became of the issue, with what came before of the other kind."""
    values = {
        "organization_id": held.organization_id,
        "issue_id": held.id,
        "project_id": held.project_id,
        "release_id": release_id,
        "user_id": user_id,
        "status": status,
        "before": _BEFORE.get(status, []),
        "now": transaction.now,
    }
    transaction.execute(_ADD_HISTORY, values)


def add_activity(
    transaction: Transaction, held: HeldIssue, type_: ActivityType, user_id: int | None, **data: str
) -> None:
    """Note what happened to the issue."""
    transaction.execute(
        insert(activity).values(
            organization_id=held.organization_id,
            project_id=held.project_id,
            group_id=held.id,
            type=int(type_),
            user_id=user_id,
            datetime=transaction.now,
            data=data,
        )
    )


def save_tracker_link(transaction: Transaction, held: HeldIssue, tracker: TrackerIssue) -> None:
    """Link the issue with that one of a tracker; texts that are empty stay as they are stored."""
    values = {**vars(tracker), "organization_id": held.organization_id, "now": transaction.now}
    linked_id = transaction.execute(_SAVE_TRACKER_ISSUE, values).scalar_one()
    values = {
        "organization_id": held.organization_id,
        "issue_id": held.id,
        "project_id": held.project_id,
        "linked_id": linked_id,
        "now": transaction.now,
    }
    transaction.execute(_LINK_TRACKER_ISSUE, values)


def await_releases(transaction: Transaction, project_id: int) -> None:
    """Wait for those who are attaching releases to the project, and keep others from it until the transaction ends."""
    transaction.execute(_AWAIT_RELEASES, {"project_id": project_id})


def newest_release(transaction: Transaction, project_id: int) -> ReleaseChoice | None:
    """The newest release of the project, which stays until the transaction ends."""
    row = transaction.execute(_NEWEST_RELEASE, {"project_id": project_id}).one_or_none()
    return None if row is None else ReleaseChoice(row.id, row.version)


def release_of_project(transaction: Transaction, project_id: int, version: str) -> ReleaseChoice | None:
    """The project's release of that version, which stays until the transaction ends."""
    statement = (
        select(release.c.id, release.c.version)
        .join(release_project, release_project.c.release_id == release.c.id)
        .where(release_project.c.project_id == project_id, release.c.version == version)
        .with_for_update(of=release, key_share=True, read=True)
    )
    row = transaction.execute(statement).one_or_none()
    return None if row is None else ReleaseChoice(row.id, row.version)


def readable_release(transaction: Transaction, organization_id: int, version: str, user_id: int | None) -> int | None:
    """The id of the organization's release of that version; None also for one that the caller may not read."""
    statement = select(release.c.id).where(
        release.c.organization_id == organization_id,
        release.c.version == version,
        is_readable(organization_id, user_id),
    )
    found: int | None = transaction.execute(statement).scalar_one_or_none()
    return found
