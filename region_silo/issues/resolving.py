"""What a release does to issues: it links those that its commits fix, and resolves those that it carries the fix of.

A commit that says "fixes PROJECT-1" links the issue and nothing more; a release that has the commit, or the merge of a
pull request that fixes it, resolves the issue when it belongs to one of the release's projects. A link counts once for
a release: who opens the issue again is not overruled by the same commits sent again. Issues are locked by id in one
statement, after everything that comes before them in the order of locks, and nothing of an issue is written before.
The number of statements does not depend on how many commits or issues there are, and a call that changes nothing
writes nothing. Sources: spec/releases.md 0.2 (column C), 2.9 (steps 9 and 10), 2.13 and 4.2 (8).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text

from region_silo.issues.mentions import ShortId, fixed_issues
from region_silo.issues.settling import Reached, resolve_in_release
from region_silo.issues.tables import (
    HISTORY_RESOLVED,
    IN_NEXT_RELEASE,
    IN_RELEASE,
    LINKED_COMMIT,
    LINKED_PULL_REQUEST,
    PENDING,
    RESOLVES,
    SETTLED,
    VISIBLE_BELOW,
)
from region_silo.issues.users import USER_OF_AUTHOR
from shared.database import Transaction

_REFERENCED_IN_COMMIT = 28
_SET_RESOLVED_IN_RELEASE = 13
_RESOLVED = 1

_FIND_TELLING = text(r"SELECT commit_id, message FROM pg_temp.staged_commit WHERE message ~* '\m(fix|close|resolve)'")
_FIND_ISSUES = text(
    f"""
    SELECT told.slug, told.number, issue.id
    FROM unnest(CAST(:slugs AS text[]), CAST(:numbers AS bigint[])) AS told (slug, number)
    CROSS JOIN LATERAL (
        SELECT project.id FROM project
        WHERE project.organization_id = :organization_id AND project.slug = told.slug LIMIT 1
    ) whose
    JOIN issue ON issue.project_id = whose.id AND issue.short_id = told.number
    WHERE issue.status < {VISIBLE_BELOW}
    """
)
_TOLD_LINKS = "unnest(CAST(:commit_ids AS bigint[]), CAST(:issue_ids AS bigint[])) AS told (commit_id, issue_id)"
_NEW_LINKS = f"""
    FROM {_TOLD_LINKS}
    JOIN issue ON issue.id = told.issue_id
    JOIN commit ON commit.id = told.commit_id
    WHERE issue.status < {VISIBLE_BELOW} AND NOT EXISTS (
        SELECT FROM issue_link known
        WHERE known.issue_id = told.issue_id AND known.linked_type = {LINKED_COMMIT}
            AND known.linked_id = told.commit_id AND known.relationship = {RESOLVES}
    )
"""
# A commit without a message tells nothing, and its links stay.
_STALE_LINKS = f"""
    FROM pg_temp.staged_commit staged
    JOIN issue_link link ON link.linked_type = {LINKED_COMMIT} AND link.linked_id = staged.commit_id
    WHERE staged.message IS NOT NULL AND link.relationship = {RESOLVES} AND NOT EXISTS (
        SELECT FROM {_TOLD_LINKS} WHERE told.commit_id = link.linked_id AND told.issue_id = link.issue_id
    )
"""


def _carried(only_staged: str) -> str:
    """Rows (issue_id, linked_at, author_id, way, position) of what a release's commits, and merges, resolve."""
    return f"""
    SELECT link.issue_id, link.datetime AS linked_at, carried.author_id, 0 AS way, listed.position
    FROM release_commit listed {only_staged}
    JOIN commit carried ON carried.id = listed.commit_id
    JOIN issue_link link ON link.linked_type = {LINKED_COMMIT} AND link.linked_id = listed.commit_id
    WHERE listed.release_id = :release_id AND link.relationship = {RESOLVES}
    UNION ALL
    SELECT link.issue_id, link.datetime, pull.author_id, 1, listed.position
    FROM release_commit listed {only_staged}
    JOIN commit carried ON carried.id = listed.commit_id
    JOIN pull_request pull ON pull.repository_id = carried.repository_id AND pull.merge_commit_key = carried.key
    JOIN issue_link link ON link.linked_type = {LINKED_PULL_REQUEST} AND link.linked_id = pull.id
    WHERE listed.release_id = :release_id AND link.relationship = {RESOLVES}
    """


def _reached(only_staged: str) -> str:
    """FROM and WHERE of the issues that the release is to resolve, each perhaps several times."""
    return f"""
    FROM ({_carried(only_staged)}) reached
    JOIN issue ON issue.id = reached.issue_id
    JOIN release_project place ON place.release_id = :release_id AND place.project_id = issue.project_id
    LEFT JOIN issue_resolution ended ON ended.issue_id = issue.id
    WHERE issue.organization_id = :organization_id AND issue.status < {VISIBLE_BELOW}
        AND (CAST(:project_ids AS bigint[]) IS NULL OR issue.project_id = ANY(CAST(:project_ids AS bigint[])))
        AND NOT (
            issue.status = {_RESOLVED} AND ended.issue_id IS NOT NULL AND ended.release_id = :release_id
            AND ended.type = {IN_RELEASE} AND ended.status = {SETTLED}
        )
        AND NOT EXISTS (
            SELECT FROM issue_history history
            WHERE history.issue_id = issue.id AND history.release_id = :release_id
                AND history.status = {HISTORY_RESOLVED} AND history.date_added >= reached.linked_at
        )
    """


_STAGED = "JOIN pg_temp.staged_commit staged ON staged.commit_id = listed.commit_id"
_PENDING = f"""
    FROM issue_resolution pending
    JOIN issue ON issue.id = pending.issue_id
    JOIN release older ON older.id = pending.release_id
    JOIN release newer ON newer.id = :release_id
    WHERE pending.organization_id = :organization_id AND pending.status = {PENDING}
        AND pending.type = {IN_NEXT_RELEASE}
        AND issue.project_id = ANY(CAST(:project_ids AS bigint[]))
        AND (older.date_added, older.id) < (newer.date_added, newer.id)
"""

_HOLD_OF_COMMITS = text(
    f"""
    SELECT issue.id FROM issue WHERE issue.id IN (
        SELECT told.issue_id {_NEW_LINKS}
        UNION SELECT link.issue_id {_STALE_LINKS}
        UNION SELECT issue.id {_reached(_STAGED)}
    )
    ORDER BY issue.id FOR NO KEY UPDATE
    """
)
# Who resolves an issue in the next release of a project has it exclusively, and so cannot miss one.
_KEEP_ORDER = text(
    """
    SELECT pg_advisory_xact_lock_shared(id) FROM (
        SELECT id FROM unnest(CAST(:project_ids AS bigint[])) AS given (id) ORDER BY id
    ) given
    """
)
_HOLD_OF_PROJECTS = text(
    f"""
    SELECT issue.id FROM issue WHERE issue.id IN (SELECT issue.id {_PENDING} UNION SELECT issue.id {_reached("")})
    ORDER BY issue.id FOR NO KEY UPDATE
    """
)
_DROP_LINKS = text(f"DELETE FROM issue_link WHERE id IN (SELECT link.id {_STALE_LINKS})")
# A link that only speaks of the issue becomes one that resolves it.
_ADD_LINKS = text(
    f"""
    WITH fresh AS (
        INSERT INTO issue_link AS known
            (organization_id, issue_id, project_id, linked_type, linked_id, relationship, datetime)
        SELECT issue.organization_id, issue.id, issue.project_id, {LINKED_COMMIT}, told.commit_id, {RESOLVES}, :now
        {_NEW_LINKS}
        ORDER BY issue.id, told.commit_id
        ON CONFLICT (issue_id, linked_type, linked_id) DO UPDATE SET relationship = {RESOLVES}, datetime = :now
            WHERE known.relationship <> {RESOLVES}
        RETURNING known.organization_id, known.issue_id, known.project_id, known.linked_id
    )
    INSERT INTO activity (organization_id, project_id, group_id, type, user_id, datetime, data)
    SELECT fresh.organization_id, fresh.project_id, fresh.issue_id, {_REFERENCED_IN_COMMIT},
        {USER_OF_AUTHOR.format(author_id="commit.author_id", organization_id="fresh.organization_id")}, :now,
        jsonb_build_object('commit', commit.key)
    FROM fresh JOIN commit ON commit.id = fresh.linked_id
    ORDER BY fresh.issue_id, fresh.linked_id
    """
)


def _find_reached(only_staged: str) -> str:
    return f"""
    SELECT found.id, found.project_id, found.status, found.is_pending,
        {USER_OF_AUTHOR.format(author_id="found.author_id", organization_id=":organization_id")} AS user_id
    FROM (
        SELECT DISTINCT ON (issue.id) issue.id, issue.project_id, issue.status, reached.author_id,
            ended.issue_id IS NOT NULL AND ended.status = {PENDING} AS is_pending
        {_reached(only_staged)} AND issue.id = ANY(CAST(:held AS bigint[]))
        ORDER BY issue.id, reached.way, reached.position DESC
    ) found
    ORDER BY found.id
    """


_FIND_REACHED_BY_COMMITS = text(_find_reached(_STAGED))
_FIND_REACHED_BY_RELEASE = text(_find_reached(""))
_SETTLE_PENDING = text(
    f"""
    WITH due AS (
        SELECT issue.id {_PENDING} AND issue.id = ANY(CAST(:held AS bigint[]))
    ), told AS (
        UPDATE activity SET data = activity.data || jsonb_build_object('version', newer.version)
        FROM release newer, (
            SELECT DISTINCT ON (activity.group_id) activity.id
            FROM activity JOIN due ON due.id = activity.group_id
            WHERE activity.type = {_SET_RESOLVED_IN_RELEASE}
            ORDER BY activity.group_id, activity.datetime DESC, activity.id DESC
        ) last
        WHERE newer.id = :release_id AND activity.id = last.id
    )
    UPDATE issue_resolution SET release_id = :release_id, type = {IN_RELEASE}, status = {SETTLED},
        current_release_version = NULL, future_release_version = NULL
    FROM due WHERE issue_resolution.issue_id = due.id
    """
)


def resolve_issues(transaction: Transaction, organization_id: int, release_id: int) -> list[int]:
    """After commits were written into a release's list: the ids of the issues that it resolved, ascending.

    The transaction holds the release, and `pg_temp.staged_commit` the commits of the call (repository_id, key, message
    or NULL, commit_id). Short ids are looked up in the organization, of any project; unknown ones are left out. A
    commit whose message does not name an issue any more loses its link, and the issue stays as it is.
    """
    told = find_told(
        transaction, organization_id, [(row.commit_id, row.message) for row in transaction.execute(_FIND_TELLING)]
    )
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "release_id": release_id,
        "project_ids": None,
        "commit_ids": [commit_id for commit_id, _ in told],
        "issue_ids": [issue_id for _, issue_id in told],
        "now": transaction.now,
    }
    held = list(transaction.execute(_HOLD_OF_COMMITS, values).scalars())
    if not held:
        return []
    transaction.execute(_DROP_LINKS, values)
    transaction.execute(_ADD_LINKS, values)
    rows = transaction.execute(_FIND_REACHED_BY_COMMITS, {**values, "held": held})
    return resolve_in_release(transaction, organization_id, release_id, [_reached_of(row) for row in rows])


def keep_order(transaction: Transaction, project_ids: Collection[int]) -> None:
    """Before the release's row: wait for those who choose the newest release of one of these projects."""
    transaction.execute(_KEEP_ORDER, {"project_ids": sorted(project_ids)})


def attach_issues(
    transaction: Transaction, organization_id: int, release_id: int, project_ids: Collection[int]
) -> list[int]:
    """After a release got these projects: the ids of their issues that it resolved, ascending.

    What waits for the next release of one of them, and was resolved in an older one, has got it; what the release's
    commits fix there is resolved. The transaction holds the release, and has kept the order of its projects.
    """
    if not project_ids:
        return []
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "release_id": release_id,
        "project_ids": sorted(project_ids),
    }
    held = list(transaction.execute(_HOLD_OF_PROJECTS, values).scalars())
    if not held:
        return []
    transaction.execute(_SETTLE_PENDING, {**values, "held": held})
    rows = transaction.execute(_FIND_REACHED_BY_RELEASE, {**values, "held": held})
    return resolve_in_release(transaction, organization_id, release_id, [_reached_of(row) for row in rows])


def find_told(
    transaction: Transaction, organization_id: int, texts: Iterable[tuple[int, str]]
) -> Sequence[tuple[int, int]]:
    """The pairs (key, issue id) of the issues that each keyed text fixes; one statement at most."""
    mentions = [(key, short_id) for key, message in texts for short_id in fixed_issues(message)]
    known = _find_issues(transaction, organization_id, {short_id for _, short_id in mentions})
    return [(key, known[short_id]) for key, short_id in mentions if short_id in known]


def _find_issues(transaction: Transaction, organization_id: int, wanted: Collection[ShortId]) -> Mapping[ShortId, int]:
    if not wanted:
        return {}
    values = {
        "organization_id": organization_id,
        "slugs": [short_id.slug for short_id in wanted],
        "numbers": [short_id.number for short_id in wanted],
    }
    return {ShortId(row.slug, row.number): row.id for row in transaction.execute(_FIND_ISSUES, values)}


def _reached_of(row: Row[Any]) -> Reached:
    return Reached(row.id, row.project_id, row.status, row.is_pending, row.user_id)
