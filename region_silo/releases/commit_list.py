"""Writes a release's whole list of commits with the same number of statements for ten and for ten thousand.

The commits are staged by binary COPY in a temporary table that is kept and emptied on commit; everything else is set
statements over it. A row that would not change is not touched. Keys are sorted wherever rows are made or locked, in
the order repository, author, commit, so that two releases that share commits cannot deadlock. The caller holds the
release's row, which makes positions its own.

What is stored is looked up by LATERAL ... LIMIT 1, and plans are made anew each time: statistics lag behind a release
that grew a moment ago, and a plan for one row compares ten thousand with ten thousand.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from region_silo.issues.resolving import resolve_issues
from region_silo.releases.commits import ReleaseCommit
from region_silo.releases.tables import REPOSITORY_ACTIVE
from shared.database import Transaction

_PLAN_ANEW = text("SET LOCAL plan_cache_mode = force_custom_plan")
_MAKE_STAGE = text(
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_commit (
        position bigint CONSTRAINT staged_commit_pkey PRIMARY KEY,
        repository_id bigint NOT NULL,
        key text NOT NULL,
        message text,
        author_email text,
        author_name text,
        commit_time timestamptz,
        commit_id bigint
    ) ON COMMIT DELETE ROWS
    """
)
_MAKE_FILE_STAGE = text(
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_file_change (
        position bigint NOT NULL,
        ordinal integer NOT NULL,
        filename text NOT NULL,
        type text NOT NULL
    ) ON COMMIT DELETE ROWS
    """
)
_COPY_COMMITS = b"""
COPY pg_temp.staged_commit (position, repository_id, key, message, author_email, author_name, commit_time)
FROM STDIN (FORMAT binary)
"""
_COPY_COMMIT_TYPES = ("int8", "int8", "text", "text", "text", "text", "timestamptz")
_COPY_FILES = b"COPY pg_temp.staged_file_change (position, ordinal, filename, type) FROM STDIN (FORMAT binary)"
_COPY_FILE_TYPES = ("int8", "int4", "text", "text")

_FIND_REPOSITORIES = text(
    f"""
    SELECT name, max(id) AS id FROM repository
    WHERE organization_id = :organization_id AND status = {REPOSITORY_ACTIVE} AND name = ANY(:names)
    GROUP BY name
    """
)
_ADD_REPOSITORIES = text(
    f"""
    INSERT INTO repository (organization_id, name, status, date_added)
    SELECT :organization_id, name, {REPOSITORY_ACTIVE}, :now
    FROM unnest(CAST(:names AS text[])) AS missing (name) ORDER BY name COLLATE "C"
    ON CONFLICT (organization_id, name) WHERE status = 0 AND provider IS NULL DO NOTHING
    """
)
# The newest commit that knows the author's name tells it; a stored name is never erased by nothing.
_SAVE_AUTHORS = text(
    """
    INSERT INTO commit_author AS author (organization_id, email, name)
    SELECT :organization_id, told.email, told.name
    FROM (
        SELECT DISTINCT ON (author_email) author_email AS email, author_name AS name
        FROM pg_temp.staged_commit WHERE author_email IS NOT NULL
        ORDER BY author_email, (author_name IS NULL), position DESC
    ) told
    LEFT JOIN LATERAL (
        SELECT author.id, author.name FROM commit_author author
        WHERE author.organization_id = :organization_id AND author.email = told.email LIMIT 1
    ) stored ON true
    WHERE stored.id IS NULL OR told.name <> coalesce(stored.name, '')
    ORDER BY told.email COLLATE "C"
    ON CONFLICT (organization_id, email) DO UPDATE SET name = excluded.name
        WHERE excluded.name <> coalesce(author.name, '')
    """
)
_SAVE_COMMITS = text(
    """
    INSERT INTO commit AS stored (organization_id, repository_id, key, author_id, message, commit_time, date_added)
    SELECT :organization_id, staged.repository_id, staged.key, author.id, staged.message, staged.commit_time, :now
    FROM pg_temp.staged_commit staged
    LEFT JOIN LATERAL (
        SELECT author.id FROM commit_author author
        WHERE author.organization_id = :organization_id AND author.email = staged.author_email LIMIT 1
    ) author ON true
    LEFT JOIN LATERAL (
        SELECT known.* FROM commit known
        WHERE known.repository_id = staged.repository_id AND known.key = staged.key LIMIT 1
    ) known ON true
    WHERE known.id IS NULL
        OR staged.message <> known.message OR (known.message IS NULL AND staged.message IS NOT NULL)
        OR author.id <> known.author_id OR (known.author_id IS NULL AND author.id IS NOT NULL)
        OR staged.commit_time <> known.commit_time OR (known.commit_time IS NULL AND staged.commit_time IS NOT NULL)
    ORDER BY staged.repository_id, staged.key COLLATE "C"
    ON CONFLICT (repository_id, key) DO UPDATE SET
        author_id = coalesce(excluded.author_id, stored.author_id),
        message = coalesce(excluded.message, stored.message),
        commit_time = coalesce(excluded.commit_time, stored.commit_time)
    """
)
_FIND_COMMITS = text(
    """
    UPDATE pg_temp.staged_commit AS staged SET commit_id = known.id
    FROM commit known WHERE known.repository_id = staged.repository_id AND known.key = staged.key
    """
)
_SAVE_FILE_CHANGES = text(
    """
    INSERT INTO commit_file_change (organization_id, commit_id, filename, type)
    SELECT :organization_id, staged.commit_id, file.filename, file.type
    FROM pg_temp.staged_file_change file JOIN pg_temp.staged_commit staged USING (position)
    ORDER BY staged.commit_id, file.filename COLLATE "C", file.ordinal
    ON CONFLICT (commit_id, filename) DO NOTHING
    """
)
# A head goes with the list that it came from; one that was set by a ref stays.
_DROP_HEADS = text(
    """
    DELETE FROM release_head_commit head
    USING release_commit listed
    WHERE head.release_id = :release_id AND head.repository_id <> ALL(:repository_ids)
        AND listed.release_id = :release_id AND listed.commit_id = head.commit_id
    """
)
_DROP_LINKS = text(
    """
    DELETE FROM release_commit listed
    WHERE listed.release_id = :release_id AND NOT EXISTS (
        SELECT FROM pg_temp.staged_commit staged
        WHERE staged.commit_id = listed.commit_id AND staged.position = listed.position
    )
    """
)
_ADD_LINKS = text(
    """
    INSERT INTO release_commit (release_id, commit_id, organization_id, position)
    SELECT :release_id, staged.commit_id, :organization_id, staged.position
    FROM pg_temp.staged_commit staged
    LEFT JOIN LATERAL (
        SELECT listed.position FROM release_commit listed
        WHERE listed.release_id = :release_id AND listed.position = staged.position LIMIT 1
    ) listed ON true
    WHERE listed.position IS NULL
    ORDER BY staged.position
    """
)
_SAVE_HEADS = text(
    """
    INSERT INTO release_head_commit (release_id, repository_id, organization_id, commit_id)
    SELECT :release_id, newest.repository_id, :organization_id, newest.commit_id
    FROM (
        SELECT DISTINCT ON (repository_id) repository_id, commit_id
        FROM pg_temp.staged_commit ORDER BY repository_id, position DESC
    ) newest
    LEFT JOIN LATERAL (
        SELECT head.commit_id FROM release_head_commit head
        WHERE head.release_id = :release_id AND head.repository_id = newest.repository_id LIMIT 1
    ) known ON true
    WHERE known.commit_id IS DISTINCT FROM newest.commit_id
    ORDER BY newest.repository_id
    ON CONFLICT (release_id, repository_id) DO UPDATE SET commit_id = excluded.commit_id
    """
)
_SAVE_STATISTICS = text(
    """
    UPDATE release SET commit_count = staged.count, last_commit_id = staged.newest, authors = staged.authors
    FROM (
        SELECT count(*) AS count,
            (array_agg(staged.commit_id ORDER BY staged.position DESC))[1] AS newest,
            coalesce(
                array_agg(DISTINCT known.author_id::text) FILTER (WHERE known.author_id IS NOT NULL), '{}'
            ) AS authors
        FROM pg_temp.staged_commit staged JOIN commit known ON known.id = staged.commit_id
    ) staged
    WHERE release.id = :release_id
    """
)


@dataclass(frozen=True)
class ListedRelease:
    """Whose list is written: a release whose row the transaction holds."""

    organization_id: int
    release_id: int


def replace_commits(transaction: Transaction, target: ListedRelease, commits: Sequence[ReleaseCommit]) -> None:
    """Make these commits, newest first, the release's whole list, with its heads and statistics.

    Fields that a commit does not tell stay as they are stored.
    """
    repositories = _save_repositories(transaction, target.organization_id, {commit.repository for commit in commits})
    values = {
        "organization_id": target.organization_id,
        "release_id": target.release_id,
        "repository_ids": sorted(repositories.values()),
        "now": transaction.now,
    }
    transaction.execute(_PLAN_ANEW)
    transaction.execute(_MAKE_STAGE)
    _copy(transaction, _COPY_COMMITS, _COPY_COMMIT_TYPES, _commit_rows(commits, repositories))
    if commits:
        transaction.execute(_SAVE_AUTHORS, values)
        transaction.execute(_SAVE_COMMITS, values)
        transaction.execute(_FIND_COMMITS)
        if any(commit.files for commit in commits):
            transaction.execute(_MAKE_FILE_STAGE)
            _copy(transaction, _COPY_FILES, _COPY_FILE_TYPES, _file_rows(commits))
            transaction.execute(_SAVE_FILE_CHANGES, values)
    transaction.execute(_DROP_HEADS, values)
    transaction.execute(_DROP_LINKS, values)
    transaction.execute(_ADD_LINKS, values)
    transaction.execute(_SAVE_HEADS, values)
    transaction.execute(_SAVE_STATISTICS, values)
    resolve_issues(transaction, target.organization_id, target.release_id)


def _save_repositories(transaction: Transaction, organization_id: int, names: set[str]) -> dict[str, int]:
    """The ids of the active repositories of these names; missing ones are made. Of several, the newest counts."""
    values: dict[str, Any] = {"organization_id": organization_id, "names": sorted(names)}
    found = {row.name: row.id for row in transaction.execute(_FIND_REPOSITORIES, values)}
    missing = sorted(names - found.keys())
    if missing:
        transaction.execute(_ADD_REPOSITORIES, {**values, "names": missing, "now": transaction.now})
        found = {row.name: row.id for row in transaction.execute(_FIND_REPOSITORIES, values)}
    return found


def _commit_rows(commits: Sequence[ReleaseCommit], repositories: dict[str, int]) -> Iterable[tuple[Any, ...]]:
    for position, commit in zip(range(len(commits), 0, -1), commits, strict=True):
        email = name = None
        if commit.author is not None:
            email, name = commit.author.email, commit.author.name
        repository_id = repositories[commit.repository]
        yield (position, repository_id, commit.key, commit.message, email, name, commit.commit_time)


def _file_rows(commits: Sequence[ReleaseCommit]) -> Iterable[tuple[Any, ...]]:
    for position, commit in zip(range(len(commits), 0, -1), commits, strict=True):
        for ordinal, change in enumerate(commit.files):
            yield (position, ordinal, change.path, change.type)


def _copy(transaction: Transaction, statement: bytes, types: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with transaction.driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
