"""SQL on pull requests, their commits and the issues that they fix. Locks go release, repository, author, commit, pull
request, issue, each by key.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from region_silo.issues.resolving import Merge, find_told
from region_silo.issues.tables import LINKED_PULL_REQUEST, RESOLVES, VISIBLE_BELOW
from region_silo.issues.users import USER_OF_AUTHOR
from region_silo.releases.commits import Author
from region_silo.repositories.pull_request_domain import PullRequest, PullRequestDraft
from shared.database import Transaction

CARRYING_MAX = 100
CARRYING_LOOKED_AT_MAX = 1000
_SET_RESOLVED_IN_PULL_REQUEST = 21

_HOLD_REPOSITORY = text(
    """
    SELECT id FROM repository WHERE id = :repository_id AND organization_id = :organization_id FOR KEY SHARE
    """
)
# A release with commits of a repository has a head of it: so those that carry a commit are found by what is indexed.
_HOLD_CARRYING = text(
    """
    SELECT release.id, release.date_added,
        ARRAY(SELECT place.project_id FROM release_project place WHERE place.release_id = release.id) AS project_ids
    FROM release
    WHERE release.id IN (
        SELECT near.release_id
        FROM (
            SELECT head.release_id FROM release_head_commit head
            WHERE head.repository_id = :repository_id AND head.organization_id = :organization_id
            ORDER BY head.release_id DESC LIMIT :looked_at_max
        ) near
        JOIN release_commit listed ON listed.release_id = near.release_id
        JOIN commit merge ON merge.id = listed.commit_id
        WHERE merge.repository_id = :repository_id AND merge.key = coalesce(nullif(:merge_commit_key, ''), (
            SELECT stored.merge_commit_key FROM pull_request stored
            WHERE stored.repository_id = :repository_id AND stored.key = :key
        ))
        ORDER BY near.release_id LIMIT :rows_max
    )
    ORDER BY release.id FOR SHARE OF release
    """
)
_KNOWS_REPOSITORY = text("SELECT id FROM repository WHERE id = :repository_id AND organization_id = :organization_id")
# A stored name is never erased by nothing.
_SAVE_AUTHOR = text(
    """
    WITH saved AS (
        INSERT INTO commit_author AS author (organization_id, email, name) VALUES (:organization_id, :email, :name)
        ON CONFLICT (organization_id, email) DO UPDATE SET name = excluded.name
            WHERE excluded.name <> coalesce(author.name, '')
        RETURNING author.id
    )
    SELECT id FROM saved
    UNION ALL
    SELECT id FROM commit_author WHERE organization_id = :organization_id AND email = :email
    LIMIT 1
    """
)
_ADD_COMMITS = text(
    """
    INSERT INTO commit (organization_id, repository_id, key, date_added)
    SELECT :organization_id, :repository_id, told.key, :now FROM unnest(CAST(:keys AS text[])) AS told (key)
    WHERE NOT EXISTS (SELECT FROM commit WHERE commit.repository_id = :repository_id AND commit.key = told.key)
    ORDER BY told.key COLLATE "C" ON CONFLICT (repository_id, key) DO NOTHING
    """
)
_SAVE = text(
    """
    INSERT INTO pull_request AS stored
        (organization_id, repository_id, key, date_added, title, message, author_id, merge_commit_key)
    VALUES (:organization_id, :repository_id, :key, :now, nullif(:title, ''), nullif(:message, ''), :author_id,
        nullif(:merge_commit_key, ''))
    ON CONFLICT (repository_id, key) DO UPDATE SET
        title = coalesce(excluded.title, stored.title),
        message = coalesce(excluded.message, stored.message),
        author_id = coalesce(excluded.author_id, stored.author_id),
        merge_commit_key = coalesce(excluded.merge_commit_key, stored.merge_commit_key)
    RETURNING stored.id, stored.title, stored.message, stored.merge_commit_key
    """
)
_DROP_COMMITS = text(
    """
    DELETE FROM pull_request_commit USING commit
    WHERE pull_request_commit.pull_request_id = :pull_request_id AND commit.id = pull_request_commit.commit_id
        AND commit.key <> ALL(CAST(:keys AS text[]))
    """
)
_LINK_COMMITS = text(
    """
    INSERT INTO pull_request_commit (pull_request_id, commit_id, organization_id)
    SELECT :pull_request_id, commit.id, :organization_id FROM commit
    WHERE commit.repository_id = :repository_id AND commit.key = ANY(CAST(:keys AS text[]))
    ORDER BY commit.id ON CONFLICT DO NOTHING
    """
)
_HOLD_ISSUES = text(
    f"""
    SELECT issue.id FROM issue WHERE issue.id = ANY(CAST(:issue_ids AS bigint[])) OR issue.id IN (
        SELECT link.issue_id FROM issue_link link
        WHERE link.linked_type = {LINKED_PULL_REQUEST} AND link.linked_id = :pull_request_id
            AND link.relationship = {RESOLVES}
    )
    ORDER BY issue.id FOR NO KEY UPDATE
    """
)
_DROP_LINKS = text(
    f"""
    DELETE FROM issue_link WHERE linked_type = {LINKED_PULL_REQUEST} AND linked_id = :pull_request_id
        AND relationship = {RESOLVES} AND issue_id <> ALL(CAST(:issue_ids AS bigint[]))
    """
)
_ADD_LINKS = text(
    f"""
    WITH fresh AS (
        INSERT INTO issue_link AS known
            (organization_id, issue_id, project_id, linked_type, linked_id, relationship, datetime)
        SELECT issue.organization_id, issue.id, issue.project_id, {LINKED_PULL_REQUEST}, :pull_request_id, {RESOLVES},
            :now
        FROM issue WHERE issue.id = ANY(CAST(:issue_ids AS bigint[])) AND issue.status < {VISIBLE_BELOW}
        ORDER BY issue.id
        ON CONFLICT (issue_id, linked_type, linked_id) DO UPDATE SET relationship = {RESOLVES}, datetime = :now
            WHERE known.relationship <> {RESOLVES}
        RETURNING known.organization_id, known.issue_id, known.project_id
    )
    INSERT INTO activity (organization_id, project_id, group_id, type, user_id, datetime, data)
    SELECT fresh.organization_id, fresh.project_id, fresh.issue_id, {_SET_RESOLVED_IN_PULL_REQUEST},
        {USER_OF_AUTHOR.format(author_id="pull.author_id", organization_id="pull.organization_id")}, :now,
        jsonb_build_object('pull_request', pull.key)
    FROM fresh JOIN pull_request pull ON pull.id = :pull_request_id
    ORDER BY fresh.issue_id
    """
)
_SHOWN = """
    SELECT pull.id, pull.organization_id, pull.repository_id, pull.key, pull.title, pull.message, pull.date_added,
        pull.merge_commit_key, author.name AS author_name, author.email AS author_email
    FROM pull_request pull LEFT JOIN commit_author author ON author.id = pull.author_id
"""
_READ = text(f"{_SHOWN} WHERE pull.id = :pull_request_id")
_COMMITS = text(
    """
    SELECT commit.key FROM pull_request_commit part JOIN commit ON commit.id = part.commit_id
    WHERE part.pull_request_id = :pull_request_id ORDER BY commit.id LIMIT 1000
    """
)
_FIRST_PAGE = text(
    f"{_SHOWN} WHERE pull.repository_id = :repository_id ORDER BY pull.date_added DESC, pull.id DESC LIMIT :rows_max"
)
_NEXT_PAGE = text(
    f"""
    {_SHOWN} WHERE pull.repository_id = :repository_id AND (pull.date_added, pull.id) < (:before_time, :before_id)
    ORDER BY pull.date_added DESC, pull.id DESC LIMIT :rows_max
    """
)


def hold_repository(transaction: Transaction, organization_id: int, repository_id: int) -> bool:
    """Keep the organization's repository from going until the transaction ends; False when it has none such."""
    values = {"organization_id": organization_id, "repository_id": repository_id}
    return transaction.execute(_HOLD_REPOSITORY, values).one_or_none() is not None


def hold_carrying(
    transaction: Transaction, organization_id: int, repository_id: int, draft: PullRequestDraft
) -> list[tuple[int, list[int]]]:
    """Hold the releases that carry the pull request's merge: (release, its projects), the oldest release first.

    At most CARRYING_MAX, looked for among the newest CARRYING_LOOKED_AT_MAX with commits of the repository.
    """
    values = {
        "organization_id": organization_id,
        "repository_id": repository_id,
        "key": draft.key,
        "merge_commit_key": draft.merge_commit_key,
        "looked_at_max": CARRYING_LOOKED_AT_MAX,
        "rows_max": CARRYING_MAX,
    }
    rows = sorted(transaction.execute(_HOLD_CARRYING, values), key=lambda row: (row.date_added, row.id))
    return [(row.id, row.project_ids) for row in rows]


def knows_repository(transaction: Transaction, organization_id: int, repository_id: int) -> bool:
    """Whether the organization has that repository."""
    values = {"organization_id": organization_id, "repository_id": repository_id}
    return transaction.execute(_KNOWS_REPOSITORY, values).one_or_none() is not None


def save_author(transaction: Transaction, organization_id: int, author: Author) -> int:
    """The id of the author with that address; a told name replaces another one."""
    values = {"organization_id": organization_id, "email": author.email, "name": author.name}
    for _ in range(2):  # another writer may make the row between the statement's look and its insert
        found = transaction.execute(_SAVE_AUTHOR, values).scalar_one_or_none()
        if found is not None:
            return int(found)
    raise AssertionError("an author that another writer made is not there")


def save(
    transaction: Transaction, organization_id: int, repository_id: int, draft: PullRequestDraft, author_id: int | None
) -> tuple[int, Merge | None]:
    """Write the pull request, its commits and the links with the issues that its texts fix; its id and its merge.

    Empty texts, and an empty list of commits, leave what is stored.
    """
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "repository_id": repository_id,
        "key": draft.key,
        "title": draft.title,
        "message": draft.message,
        "author_id": author_id,
        "merge_commit_key": draft.merge_commit_key,
        "keys": sorted(set(draft.commit_keys)),
        "now": transaction.now,
    }
    if draft.commit_keys:
        transaction.execute(_ADD_COMMITS, values)
    row = transaction.execute(_SAVE, values).one()
    values["pull_request_id"] = row.id
    if draft.commit_keys:
        transaction.execute(_DROP_COMMITS, values)
        transaction.execute(_LINK_COMMITS, values)
    told = find_told(transaction, organization_id, [(row.id, f"{row.title or ''}\n\n{row.message or ''}")])
    values["issue_ids"] = [issue_id for _, issue_id in told]
    if transaction.execute(_HOLD_ISSUES, values).all():
        transaction.execute(_DROP_LINKS, values)
        transaction.execute(_ADD_LINKS, values)
    merge = None
    if row.merge_commit_key is not None:
        merge = Merge(repository_id, row.merge_commit_key, tuple(sorted(set(values["issue_ids"]))))
    return row.id, merge


def read(transaction: Transaction, pull_request_id: int) -> PullRequest:
    """The pull request with the keys of its commits."""
    values = {"pull_request_id": pull_request_id}
    row = transaction.execute(_READ, values).one()
    return _pull_request(row, tuple(transaction.execute(_COMMITS, values).scalars()))


def newest(
    transaction: Transaction, repository_id: int, before: tuple[datetime, int] | None, limit: int
) -> list[PullRequest]:
    """At most `limit` pull requests without their commits, newest first by (date_added, id), older than `before`."""
    values: dict[str, Any] = {"repository_id": repository_id, "rows_max": limit}
    if before is None:
        rows: Sequence[Row[Any]] = transaction.execute(_FIRST_PAGE, values).all()
    else:
        values |= {"before_time": before[0], "before_id": before[1]}
        rows = transaction.execute(_NEXT_PAGE, values).all()
    return [_pull_request(row, ()) for row in rows]


def _pull_request(row: Row[Any], commit_keys: tuple[str, ...]) -> PullRequest:
    return PullRequest(
        id=row.id,
        organization_id=row.organization_id,
        repository_id=row.repository_id,
        key=row.key,
        title=row.title or "",
        message=row.message or "",
        author_name=row.author_name or "",
        author_email=row.author_email or "",
        merge_commit_key=row.merge_commit_key or "",
        create_time=row.date_added,
        commit_keys=commit_keys,
    )
