"""What a release does to issues: it links those that its commits fix, and resolves those that it carries the fix of.

A commit that says "fixes PROJECT-1" links the issue and nothing more; a release that has the commit, or the merge of a
pull request that fixes it, resolves the issue when it belongs to one of the release's projects. A link counts once for
a release: who opens the issue again is not overruled by the same commits sent again. Issues are locked by id in one
statement, after everything that comes before them in the order of locks, and nothing of an issue is written before.
The number of statements does not depend on how many commits or issues there are, and a call that changes nothing
writes nothing. Sources: spec/releases.md 0.2 (column C), 2.9 (steps 9 and 10), 2.13 and 4.2 (8).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    CROSS JOIN LATERAL (
        SELECT * FROM issue WHERE issue.id = told.issue_id AND issue.status < {VISIBLE_BELOW} LIMIT 1
    ) issue
    LEFT JOIN LATERAL (
        SELECT stored.id FROM issue_link stored
        WHERE stored.issue_id = told.issue_id AND stored.linked_type = {LINKED_COMMIT}
            AND stored.linked_id = told.commit_id AND stored.relationship = {RESOLVES} LIMIT 1
    ) stored ON true
    WHERE stored.id IS NULL
"""
# A commit without a message tells nothing, and its links stay.
_STALE_LINKS = f"""
    FROM pg_temp.staged_commit staged
    CROSS JOIN LATERAL (
        SELECT * FROM issue_link stored
        WHERE stored.linked_type = {LINKED_COMMIT} AND stored.linked_id = staged.commit_id
            AND stored.relationship = {RESOLVES} OFFSET 0
    ) link
    WHERE staged.message IS NOT NULL
        AND (link.linked_id, link.issue_id) NOT IN (SELECT told.commit_id, told.issue_id FROM {_TOLD_LINKS})
"""
_OF_CALL = """
    pg_temp.staged_commit staged
    CROSS JOIN LATERAL (
        SELECT member.commit_id, member.position FROM release_commit member
        WHERE member.release_id = :release_id AND member.commit_id = staged.commit_id LIMIT 1
    ) listed
"""
_OF_RELEASE = """
    (
        SELECT member.commit_id, member.position FROM release_commit member
        WHERE member.release_id = :release_id OFFSET 0
    ) listed
"""

_OF_MERGE = """
    (
        SELECT member.commit_id, member.position FROM commit merge
        JOIN release_commit member ON member.release_id = :release_id AND member.commit_id = merge.id
        WHERE merge.repository_id = :repository_id AND merge.key = :merge_commit_key OFFSET 0
    ) listed
"""


def _carried(listed: str) -> str:
    """Rows (issue_id, linked_at, author_id, way, position) of what commits, and merges, resolve.

    Statistics lag behind a release that grew a moment ago: every step is a look by key, in this order.
    """
    carried = "SELECT * FROM commit WHERE commit.id = listed.commit_id LIMIT 1"
    return f"""
    SELECT link.issue_id, link.datetime AS linked_at, carried.author_id, 0 AS way, listed.position
    FROM {listed}
    CROSS JOIN LATERAL (
        SELECT * FROM issue_link stored
        WHERE stored.linked_type = {LINKED_COMMIT} AND stored.linked_id = listed.commit_id
            AND stored.relationship = {RESOLVES} OFFSET 0
    ) link
    CROSS JOIN LATERAL ({carried}) carried
    UNION ALL
    SELECT link.issue_id, link.datetime, pull.author_id, 1, listed.position
    FROM {listed}
    CROSS JOIN LATERAL ({carried}) carried
    CROSS JOIN LATERAL (
        SELECT * FROM pull_request merged
        WHERE merged.repository_id = carried.repository_id AND merged.merge_commit_key = carried.key OFFSET 0
    ) pull
    CROSS JOIN LATERAL (
        SELECT * FROM issue_link stored
        WHERE stored.linked_type = {LINKED_PULL_REQUEST} AND stored.linked_id = pull.id
            AND stored.relationship = {RESOLVES} OFFSET 0
    ) link
    """


def _reached(listed: str) -> str:
    """FROM and WHERE of the issues that the release is to resolve, each perhaps several times."""
    return f"""
    FROM ({_carried(listed)} OFFSET 0) reached
    CROSS JOIN LATERAL (
        SELECT * FROM issue
        WHERE issue.id = reached.issue_id AND issue.organization_id = :organization_id
            AND issue.status < {VISIBLE_BELOW} LIMIT 1
    ) issue
    CROSS JOIN LATERAL (
        SELECT FROM release_project place
        WHERE place.release_id = :release_id AND place.project_id = issue.project_id LIMIT 1
    ) place
    LEFT JOIN LATERAL (
        SELECT * FROM issue_resolution stored WHERE stored.issue_id = issue.id LIMIT 1
    ) ended ON true
    LEFT JOIN LATERAL (
        SELECT history.id FROM issue_history history
        WHERE history.issue_id = issue.id AND history.release_id = :release_id
            AND history.status = {HISTORY_RESOLVED} AND history.date_added >= reached.linked_at LIMIT 1
    ) once ON true
    WHERE once.id IS NULL
        AND (CAST(:project_ids AS bigint[]) IS NULL OR issue.project_id = ANY(CAST(:project_ids AS bigint[])))
        AND NOT (
            issue.status = {_RESOLVED} AND ended.issue_id IS NOT NULL AND ended.release_id = :release_id
            AND ended.type = {IN_RELEASE} AND ended.status = {SETTLED}
        )
    """


_PENDING = f"""
    FROM (
        SELECT * FROM issue_resolution stored
        WHERE stored.organization_id = :organization_id AND stored.status = {PENDING} OFFSET 0
    ) pending
    CROSS JOIN LATERAL (
        SELECT * FROM issue
        WHERE issue.id = pending.issue_id AND issue.project_id = ANY(CAST(:project_ids AS bigint[])) LIMIT 1
    ) issue
    CROSS JOIN LATERAL (SELECT * FROM release WHERE release.id = pending.release_id LIMIT 1) older
    CROSS JOIN LATERAL (SELECT * FROM release WHERE release.id = :release_id LIMIT 1) newer
    WHERE pending.type = {IN_NEXT_RELEASE} AND (older.date_added, older.id) < (newer.date_added, newer.id)
"""

_HOLD_OF_COMMITS = text(
    f"""
    SELECT issue.id FROM issue WHERE issue.id IN (
        SELECT told.issue_id {_NEW_LINKS}
        UNION SELECT link.issue_id {_STALE_LINKS}
        UNION SELECT issue.id {_reached(_OF_CALL)}
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
    SELECT issue.id FROM issue WHERE issue.id IN (
        SELECT issue.id {_PENDING}
        UNION SELECT issue.id {_reached(_OF_RELEASE)}
    )
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
    FROM fresh
    CROSS JOIN LATERAL (SELECT * FROM commit stored WHERE stored.id = fresh.linked_id LIMIT 1) commit
    ORDER BY fresh.issue_id, fresh.linked_id
    """
)


def _find_reached(listed: str) -> str:
    return f"""
    SELECT found.id, found.project_id, found.status, found.is_pending,
        {USER_OF_AUTHOR.format(author_id="found.author_id", organization_id=":organization_id")} AS user_id
    FROM (
        SELECT DISTINCT ON (issue.id) issue.id, issue.project_id, issue.status, reached.author_id,
            ended.issue_id IS NOT NULL AND ended.status = {PENDING} AS is_pending
        {_reached(listed)} AND issue.id = ANY(CAST(:held AS bigint[]))
        ORDER BY issue.id, reached.way, reached.position DESC
    ) found
    ORDER BY found.id
    """


_FIND_REACHED_BY_COMMITS = text(_find_reached(_OF_CALL))
_FIND_REACHED_BY_RELEASE = text(_find_reached(_OF_RELEASE))
_FIND_REACHED_BY_MERGE = text(_find_reached(_OF_MERGE))
_SETTLE_PENDING = text(
    f"""
    WITH due AS (
        SELECT issue.id {_PENDING} AND issue.id = ANY(CAST(:held AS bigint[]))
    ), told AS (
        UPDATE activity SET data = activity.data || jsonb_build_object('version', newer.version)
        FROM release newer, due CROSS JOIN LATERAL (
            SELECT told.id FROM activity told
            WHERE told.group_id = due.id AND told.type = {_SET_RESOLVED_IN_RELEASE}
            ORDER BY told.datetime DESC, told.id DESC LIMIT 1
        ) last
        WHERE newer.id = :release_id AND activity.id = last.id
    )
    UPDATE issue_resolution SET release_id = :release_id, type = {IN_RELEASE}, status = {SETTLED},
        current_release_version = NULL, future_release_version = NULL
    FROM due WHERE issue_resolution.issue_id = due.id
    """
)


@dataclass(frozen=True)
class Merge:
    """The commit that merged a pull request, and the issues that the pull request resolves."""

    repository_id: int
    commit_key: str
    issue_ids: tuple[int, ...]


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


def resolve_merged(
    transaction: Transaction, organization_id: int, merge: Merge, releases: Sequence[tuple[int, Collection[int]]]
) -> list[int]:
    """After a pull request was written: the ids of the issues that it resolved in releases that carry its merge.

    `releases` are those that do, the oldest first, each with its projects; an issue is resolved in the first of them
    that has its project. The transaction holds the releases, and the issues that the pull request resolves.
    """
    resolved: list[int] = []
    seen: set[int] = set()
    for release_id, project_ids in releases:
        values = {
            "organization_id": organization_id,
            "release_id": release_id,
            "project_ids": sorted(set(project_ids) - seen),
            "repository_id": merge.repository_id,
            "merge_commit_key": merge.commit_key,
            "held": list(merge.issue_ids),
        }
        seen.update(project_ids)
        rows = transaction.execute(_FIND_REACHED_BY_MERGE, values)
        resolved += resolve_in_release(transaction, organization_id, release_id, [_reached_of(row) for row in rows])
    return sorted(resolved)


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
