"""Resolving issues that are held, and everything that goes with it, in a fixed number of statements.

The inbox is left, the history knows what came before, an activity is made only when the issue was not resolved already,
and trackers outside are told through the outbox (spec/releases.md 2.9 step 9 and 10).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from region_silo.issues.syncing import tell_trackers
from region_silo.issues.tables import HISTORY_REGRESSED, HISTORY_RESOLVED, HISTORY_UNRESOLVED, IN_RELEASE, SETTLED
from shared.database import Transaction

_RESOLVED = 1
_SET_RESOLVED_IN_RELEASE = 13

_RESOLVE = text(
    f"""
    UPDATE issue SET status = {_RESOLVED}, substatus = NULL, row_version = row_version + 1,
        resolved_at = CASE WHEN status = {_RESOLVED} THEN coalesce(resolved_at, :now) ELSE :now END
    WHERE id = ANY(CAST(:issue_ids AS bigint[]))
    """
)
_TOLD = """
    unnest(
        CAST(:issue_ids AS bigint[]), CAST(:project_ids AS bigint[]), CAST(:user_ids AS bigint[]),
        CAST(:are_resolved AS boolean[]), CAST(:are_pending AS boolean[])
    ) AS told (issue_id, project_id, user_id, is_resolved, is_pending)
"""
_SAVE_RESOLUTIONS = text(
    f"""
    INSERT INTO issue_resolution (issue_id, organization_id, release_id, type, status, actor_id, datetime)
    SELECT told.issue_id, :organization_id, :release_id, {IN_RELEASE}, {SETTLED}, told.user_id, :now
    FROM {_TOLD} ORDER BY told.issue_id
    ON CONFLICT (issue_id) DO UPDATE SET release_id = excluded.release_id, type = excluded.type,
        status = excluded.status, actor_id = excluded.actor_id, datetime = excluded.datetime,
        current_release_version = NULL, future_release_version = NULL
    """
)
_LEAVE_INBOX = text("DELETE FROM issue_inbox WHERE issue_id = ANY(CAST(:issue_ids AS bigint[]))")
_ADD_HISTORY = text(
    f"""
    INSERT INTO issue_history (organization_id, issue_id, project_id, release_id, user_id, status, prev_history_id,
        prev_history_date, date_added)
    SELECT :organization_id, told.issue_id, told.project_id, :release_id, told.user_id, {HISTORY_RESOLVED},
        before.id, before.date_added, :now
    FROM {_TOLD}
    LEFT JOIN LATERAL (
        SELECT history.id, history.date_added FROM issue_history history
        WHERE history.issue_id = told.issue_id AND history.status IN ({HISTORY_UNRESOLVED}, {HISTORY_REGRESSED})
        ORDER BY history.id DESC LIMIT 1
    ) before ON true
    ORDER BY told.issue_id
    """
)
_ADD_ACTIVITIES = text(
    f"""
    INSERT INTO activity (organization_id, project_id, group_id, type, user_id, datetime, data)
    SELECT :organization_id, told.project_id, told.issue_id, {_SET_RESOLVED_IN_RELEASE}, told.user_id, :now,
        jsonb_build_object('version', release.version)
    FROM {_TOLD} JOIN release ON release.id = :release_id
    WHERE NOT told.is_resolved ORDER BY told.issue_id
    """
)
# Who resolved it in the next release did not know which one that would be.
_TELL_VERSION = text(
    f"""
    UPDATE activity SET data = activity.data || jsonb_build_object('version', release.version)
    FROM release, {_TOLD} CROSS JOIN LATERAL (
        SELECT stored.id FROM activity stored
        WHERE told.is_pending AND told.is_resolved AND stored.group_id = told.issue_id
            AND stored.type = {_SET_RESOLVED_IN_RELEASE}
        ORDER BY stored.datetime DESC, stored.id DESC LIMIT 1
    ) last
    WHERE release.id = :release_id AND activity.id = last.id
    """
)
_VERSION = text("SELECT version FROM release WHERE id = :release_id")


@dataclass(frozen=True)
class Reached:
    """An issue that a release is to resolve, as it stands; `user_id` wrote the fix, None is nobody in person."""

    issue_id: int
    project_id: int
    status: int
    is_pending: bool
    user_id: int | None


def resolve_in_release(
    transaction: Transaction, organization_id: int, release_id: int, reached: Sequence[Reached]
) -> list[int]:
    """Resolve these issues, which the transaction holds, in the release; their ids, in the order given."""
    if not reached:
        return []
    issue_ids = [each.issue_id for each in reached]
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "release_id": release_id,
        "issue_ids": issue_ids,
        "project_ids": [each.project_id for each in reached],
        "user_ids": [each.user_id for each in reached],
        "are_resolved": [each.status == _RESOLVED for each in reached],
        "are_pending": [each.is_pending for each in reached],
        "now": transaction.now,
    }
    for statement in (_RESOLVE, _SAVE_RESOLUTIONS, _LEAVE_INBOX, _ADD_HISTORY, _ADD_ACTIVITIES, _TELL_VERSION):
        transaction.execute(statement, values)
    version = transaction.execute(_VERSION, values).scalar_one()
    tell_trackers(transaction, organization_id, issue_ids, is_resolved=True, version=version)
    return issue_ids
