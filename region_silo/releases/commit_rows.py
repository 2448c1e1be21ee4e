"""Writes the commits of one call, with their repositories, authors and file changes, in a fixed number of statements.

What is told is staged by binary COPY and then resolved: `staged_commit` holds each commit with the id that it has, or
is going to have, and whether its row is new or changes. Both are temporary tables that are kept and emptied on commit.
A row that would not change is not touched. Rows are made and locked in the order repository, author, commit, file
change, each by key, so that releases that share them cannot deadlock.

What is stored is looked up by LATERAL ... LIMIT 1, and plans are made anew each time: statistics lag behind a release
that grew a moment ago, and a plan for one row compares ten thousand with ten thousand.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from region_silo.releases.commits import NO_TIME, ReleaseCommit
from region_silo.releases.tables import REPOSITORY_ACTIVE
from shared.database import Transaction

_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01: a timestamptz on the wire is an int8 of the microseconds since then."""

_PLAN_ANEW = text(
    """
    SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
        set_config('work_mem', '64MB', true)
    """
)
_MAKE_STAGES = (
    text(
        """
        CREATE TEMPORARY TABLE IF NOT EXISTS told_author (ordinal bigint NOT NULL, email text NOT NULL, name text)
        ON COMMIT DELETE ROWS
        """
    ),
    text(
        """
        CREATE TEMPORARY TABLE IF NOT EXISTS told_commit (
            rank bigint NOT NULL,
            repository_id bigint NOT NULL,
            key text NOT NULL,
            message text,
            author bigint,
            commit_time timestamptz,
            sort_time_us bigint NOT NULL
        ) ON COMMIT DELETE ROWS
        """
    ),
    text(
        """
        CREATE TEMPORARY TABLE IF NOT EXISTS staged_commit (
            rank bigint NOT NULL,
            repository_id bigint NOT NULL,
            key text NOT NULL,
            message text,
            told_author_id bigint,
            commit_time timestamptz,
            sort_time_us bigint NOT NULL,
            commit_id bigint NOT NULL,
            author_id bigint,
            is_new boolean NOT NULL,
            is_changed boolean NOT NULL,
            is_listed boolean NOT NULL,
            is_in_place boolean NOT NULL,
            is_moved boolean NOT NULL
        ) ON COMMIT DELETE ROWS
        """
    ),
)
_MAKE_FILE_STAGE = text(
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS told_file_change (
        rank bigint NOT NULL,
        ordinal bigint NOT NULL,
        filename text NOT NULL,
        type text NOT NULL
    ) ON COMMIT DELETE ROWS
    """
)
_COPY_AUTHORS = b"COPY pg_temp.told_author (ordinal, email, name) FROM STDIN (FORMAT binary)"
_AUTHOR_TYPES = ("int8", "text", "text")
_COPY_COMMITS = b"""
COPY pg_temp.told_commit (rank, repository_id, key, message, author, commit_time, sort_time_us)
FROM STDIN (FORMAT binary)
"""
_COMMIT_TYPES = ("int8", "int8", "text", "text", "int8", "int8", "int8")
_COPY_FILES = b"COPY pg_temp.told_file_change (rank, ordinal, filename, type) FROM STDIN (FORMAT binary)"
_FILE_TYPES = ("int8", "int8", "text", "text")

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
# A stored name is never erased by nothing.
_SAVE_AUTHORS = text(
    """
    INSERT INTO commit_author AS author (organization_id, email, name)
    SELECT :organization_id, told.email, told.name
    FROM pg_temp.told_author told
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
# What a commit does not tell stays as it is stored. In a list by time, a commit without one has its stored one.
_STAGE_COMMITS = text(
    """
    WITH staged AS (
        INSERT INTO pg_temp.staged_commit (
            rank, repository_id, key, message, told_author_id, commit_time, sort_time_us, commit_id, author_id,
            is_new, is_changed, is_listed, is_in_place, is_moved
        )
        SELECT told.rank, told.repository_id, told.key, told.message, author.id, told.commit_time,
            placed.sort_time_us,
            coalesce(known.id, nextval('commit_id_seq')), coalesce(author.id, known.author_id),
            known.id IS NULL,
            known.id IS NOT NULL AND (
                told.message <> known.message OR (known.message IS NULL AND told.message IS NOT NULL)
                OR author.id <> known.author_id OR (known.author_id IS NULL AND author.id IS NOT NULL)
                OR told.commit_time <> known.commit_time
                OR (known.commit_time IS NULL AND told.commit_time IS NOT NULL)
            ) IS TRUE,
            listed.position IS NOT NULL,
            (listed.layer = :layer AND listed.position = :base + told.rank
                AND listed.sort_time_us = placed.sort_time_us) IS TRUE,
            (:by_time AND told.commit_time IS NOT NULL AND listed.sort_time_us <> placed.sort_time_us) IS TRUE
        FROM pg_temp.told_commit told
        LEFT JOIN (
            SELECT told.ordinal, found.id
            FROM pg_temp.told_author told
            CROSS JOIN LATERAL (
                SELECT author.id FROM commit_author author
                WHERE author.organization_id = :organization_id AND author.email = told.email LIMIT 1
            ) found
        ) author ON author.ordinal = told.author
        LEFT JOIN LATERAL (
            SELECT known.* FROM commit known
            WHERE known.repository_id = told.repository_id AND known.key = told.key LIMIT 1
        ) known ON true
        LEFT JOIN LATERAL (
            SELECT listed.* FROM release_commit listed
            WHERE :has_list AND listed.release_id = :release_id AND listed.commit_id = known.id LIMIT 1
        ) listed ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN :by_time AND told.commit_time IS NULL AND known.commit_time IS NOT NULL
                THEN (extract(epoch FROM known.commit_time) * 1000000)::bigint ELSE told.sort_time_us END
                AS sort_time_us
        ) placed
        RETURNING is_new, is_changed, is_listed, is_in_place, is_moved
    )
    SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
        count(*) FILTER (WHERE is_listed) AS listed, count(*) FILTER (WHERE is_in_place) AS in_place,
        count(*) FILTER (WHERE is_moved) AS moved
    FROM staged
    """
)
_SAVE_COMMITS = text(
    """
    WITH saved AS (
        INSERT INTO commit AS stored
            (id, organization_id, repository_id, key, author_id, message, commit_time, date_added)
        OVERRIDING SYSTEM VALUE
        SELECT staged.commit_id, :organization_id, staged.repository_id, staged.key, staged.told_author_id,
            staged.message, staged.commit_time, :now
        FROM pg_temp.staged_commit staged
        WHERE staged.is_new OR staged.is_changed
        ORDER BY staged.repository_id, staged.key COLLATE "C"
        ON CONFLICT (repository_id, key) DO UPDATE SET
            author_id = coalesce(excluded.author_id, stored.author_id),
            message = coalesce(excluded.message, stored.message),
            commit_time = coalesce(excluded.commit_time, stored.commit_time)
        RETURNING xmax = 0 AS is_inserted
    )
    SELECT count(*) FILTER (WHERE is_inserted) FROM saved
    """
)
# Another release's writer made some of the new ones in the meantime: theirs are the ids.
_STAGE_AGAIN = text(
    """
    UPDATE pg_temp.staged_commit AS staged SET
        commit_id = made.id,
        author_id = made.author_id,
        sort_time_us = CASE WHEN :by_time AND staged.commit_time IS NULL AND made.commit_time IS NOT NULL
            THEN (extract(epoch FROM made.commit_time) * 1000000)::bigint ELSE staged.sort_time_us END
    FROM (
        SELECT again.ctid AS place, known.id, known.author_id, known.commit_time
        FROM pg_temp.staged_commit again
        CROSS JOIN LATERAL (
            SELECT known.* FROM commit known
            WHERE known.repository_id = again.repository_id AND known.key = again.key LIMIT 1
        ) known
        WHERE again.is_new
    ) made
    WHERE staged.ctid = made.place
    """
)
# The first change of a file stays.
_SAVE_FILE_CHANGES = text(
    """
    INSERT INTO commit_file_change (organization_id, commit_id, filename, type)
    SELECT :organization_id, staged.commit_id, told.filename, told.type
    FROM pg_temp.told_file_change told JOIN pg_temp.staged_commit staged USING (rank)
    LEFT JOIN LATERAL (
        SELECT known.id FROM commit_file_change known
        WHERE NOT staged.is_new AND known.commit_id = staged.commit_id AND known.filename = told.filename COLLATE "C"
        LIMIT 1
    ) known ON true
    WHERE known.id IS NULL
    ORDER BY staged.commit_id, told.filename COLLATE "C", told.ordinal
    ON CONFLICT (commit_id, filename) DO NOTHING
    """
)


@dataclass(frozen=True)
class Placing:
    """Where the staged commits go in the release's list: ranks above `base` in `layer`; `by_time` when times decide."""

    release_id: int
    layer: int
    base: int
    by_time: bool
    has_list: bool


@dataclass(frozen=True)
class StagedCommits:
    """How many commits there are, how many rows of theirs are written, and what the release's list has of them.

    `listed` are in it already, `in_place` exactly where they belong, `moved` in another place by time than is told now.
    """

    count: int
    new: int
    changed: int
    listed: int
    in_place: int
    moved: int
    files_added: int

    @property
    def is_written(self) -> bool:
        """Whether a row of a commit or of a file was made or changed."""
        return bool(self.new or self.changed or self.files_added)


def plan_anew(transaction: Transaction) -> None:
    """Make the rest of the transaction plan each statement for the sizes at hand."""
    transaction.execute(_PLAN_ANEW)


def save_repositories(transaction: Transaction, organization_id: int, names: Sequence[str]) -> dict[str, int]:
    """The ids of the active repositories of these names; missing ones are made. Of several, the newest counts."""
    values: dict[str, Any] = {"organization_id": organization_id, "names": sorted(names)}
    found = {row.name: row.id for row in transaction.execute(_FIND_REPOSITORIES, values)}
    missing = sorted(set(names) - found.keys())
    if missing:
        transaction.execute(_ADD_REPOSITORIES, {**values, "names": missing, "now": transaction.now})
        found = {row.name: row.id for row in transaction.execute(_FIND_REPOSITORIES, values)}
    return found


def save_commits(
    transaction: Transaction,
    organization_id: int,
    commits: Sequence[ReleaseCommit],
    repositories: dict[str, int],
    placing: Placing,
) -> StagedCommits:
    """Write what these commits, newest first, tell; `pg_temp.staged_commit` holds them until the transaction ends.

    The newest has the highest rank, the oldest rank 1. Fields that a commit does not tell stay as they are stored.
    """
    values = {"organization_id": organization_id, "now": transaction.now, **vars(placing)}
    for statement in _MAKE_STAGES:
        transaction.execute(statement)
    names = _author_names(commits)
    ordinals = {email: ordinal for ordinal, email in enumerate(names)}
    authors = ((ordinal, email, names[email]) for email, ordinal in ordinals.items())
    if names:
        _copy(transaction, _COPY_AUTHORS, _AUTHOR_TYPES, authors)
        transaction.execute(_SAVE_AUTHORS, values)
    _copy(transaction, _COPY_COMMITS, _COMMIT_TYPES, _commit_rows(commits, repositories, ordinals))
    found = transaction.execute(_STAGE_COMMITS, values).one()
    if found.new or found.changed:
        inserted = transaction.execute(_SAVE_COMMITS, values).scalar_one()
        if inserted < found.new:
            transaction.execute(_STAGE_AGAIN, values)
    files_added = 0
    if any(commit.files for commit in commits):
        transaction.execute(_MAKE_FILE_STAGE)
        _copy(transaction, _COPY_FILES, _FILE_TYPES, _file_rows(commits))
        files_added = transaction.execute(_SAVE_FILE_CHANGES, values).rowcount
    return StagedCommits(len(commits), found.new, found.changed, found.listed, found.in_place, found.moved, files_added)


def _author_names(commits: Sequence[ReleaseCommit]) -> dict[str, str | None]:
    """Each address with the name that the newest commit which knows one tells."""
    names: dict[str, str | None] = {}
    for author in {commit.author: None for commit in commits}:
        if author is not None and names.get(author.email) is None:
            names[author.email] = author.name
    return names


def _commit_rows(
    commits: Sequence[ReleaseCommit], repositories: dict[str, int], ordinals: dict[str, int]
) -> Iterable[tuple[Any, ...]]:
    # Oldest first: then ids, positions and times ascend together, and each goes to the end of its index.
    rank = 1
    for repository, key, message, author, time_us, _files in reversed(commits):
        ordinal = None if author is None else ordinals[author.email]
        if time_us is None:
            yield (rank, repositories[repository], key, message, ordinal, None, NO_TIME)
        else:
            yield (rank, repositories[repository], key, message, ordinal, time_us - _POSTGRES_EPOCH_US, time_us)
        rank += 1


def _file_rows(commits: Sequence[ReleaseCommit]) -> Iterable[tuple[Any, ...]]:
    for rank, commit in zip(range(len(commits), 0, -1), commits, strict=True):
        for ordinal, change in enumerate(commit.files):
            yield (rank, ordinal, change.path, change.type)


def _copy(transaction: Transaction, statement: bytes, types: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with transaction.driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
