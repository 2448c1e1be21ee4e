"""Writes a release's list of commits, its heads and statistics, with as many statements for ten as for ten thousand.

Newest first is by (layer, sort_time_us, position), each descending (docs/decisions/0024). A replacement writes a layer
above what stays of the list; appended commits go into the highest layer, in their place by time, so that appends end in
the same order whoever was first. The caller holds the release's row, which makes layers and positions its own. What is
in its place already is not touched, and the release's statistics follow from the list alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text

from region_silo.issues.resolving import resolve_issues
from region_silo.releases.commit_rows import Placing, StagedCommits, plan_anew, save_commits, save_repositories
from region_silo.releases.commits import CommitMode, ReleaseCommit
from shared.database import Transaction

_COUNT = text("SELECT commit_count FROM release WHERE id = :release_id")
_FIND_STAYING = text(
    """
    SELECT count(*) AS staying, coalesce(max(position), 0) AS base, coalesce(max(layer) + 1, 0) AS layer
    FROM release_commit WHERE release_id = :release_id AND repository_id <> ALL(:repository_ids)
    """
)
_FIND_TOP = text(
    """
    SELECT coalesce((SELECT max(position) FROM release_commit WHERE release_id = :release_id), 0) AS base,
        coalesce((SELECT max(layer) FROM release_commit WHERE release_id = :release_id), 0) AS layer
    """
)
# A head goes with the list that it came from; one that was set by a ref stays.
_DROP_HEADS = text(
    """
    DELETE FROM release_head_commit head
    USING release_commit listed
    WHERE head.release_id = :release_id AND head.repository_id <> ALL(:head_repository_ids)
        AND (:is_whole OR head.repository_id = ANY(:repository_ids))
        AND listed.release_id = :release_id AND listed.commit_id = head.commit_id
    """
)
_DROP_LINKS = text(
    """
    DELETE FROM release_commit listed
    WHERE listed.release_id = :release_id AND (:is_whole OR listed.repository_id = ANY(:repository_ids))
        AND listed.commit_id NOT IN (SELECT staged.commit_id FROM pg_temp.staged_commit staged WHERE staged.is_in_place)
    """
)
_ADD_LINKS = text(
    """
    INSERT INTO release_commit
        (release_id, commit_id, organization_id, position, repository_id, layer, sort_time_us)
    SELECT :release_id, staged.commit_id, :organization_id, :base + staged.rank, staged.repository_id, :layer,
        staged.sort_time_us
    FROM pg_temp.staged_commit staged
    WHERE NOT CASE WHEN :by_time THEN staged.is_listed ELSE staged.is_in_place END
    """
)
_MOVE_LINKS = text(
    """
    UPDATE release_commit AS listed SET sort_time_us = moved.sort_time_us
    FROM (
        SELECT there.place, staged.sort_time_us
        FROM pg_temp.staged_commit staged
        CROSS JOIN LATERAL (
            SELECT listed.ctid AS place FROM release_commit listed
            WHERE listed.release_id = :release_id AND listed.commit_id = staged.commit_id LIMIT 1
        ) there
        WHERE staged.is_moved
    ) moved
    WHERE listed.ctid = moved.place
    """
)
_SAVE_HEADS = """
    INSERT INTO release_head_commit (release_id, repository_id, organization_id, commit_id)
    SELECT :release_id, newest.repository_id, :organization_id, newest.commit_id
    FROM ({newest}) newest
    LEFT JOIN LATERAL (
        SELECT head.commit_id FROM release_head_commit head
        WHERE head.release_id = :release_id AND head.repository_id = newest.repository_id LIMIT 1
    ) known ON true
    WHERE known.commit_id IS DISTINCT FROM newest.commit_id
    ORDER BY newest.repository_id
    ON CONFLICT (release_id, repository_id) DO UPDATE SET commit_id = excluded.commit_id
"""
_SAVE_HEADS_OF_CALL = text(
    _SAVE_HEADS.format(
        newest="""
        SELECT staged.repository_id, staged.commit_id FROM pg_temp.staged_commit staged
        WHERE staged.rank = ANY(:head_ranks)
        """
    )
)
# The newest of a repository is the head that the list had, or one of the call; unless times changed, or the head was
# set by a ref: then the whole list is looked through.
_SAVE_HEADS_OF_LIST = text(
    _SAVE_HEADS.format(
        newest="""
        SELECT DISTINCT ON (placed.repository_id) placed.repository_id, placed.commit_id
        FROM (
            SELECT listed.* FROM pg_temp.staged_commit staged
            CROSS JOIN LATERAL (
                SELECT listed.* FROM release_commit listed
                WHERE listed.release_id = :release_id AND listed.commit_id = staged.commit_id LIMIT 1
            ) listed
            UNION ALL
            SELECT listed.* FROM release_head_commit head
            CROSS JOIN LATERAL (
                SELECT listed.* FROM release_commit listed
                WHERE listed.release_id = :release_id AND listed.commit_id = head.commit_id LIMIT 1
            ) listed
            WHERE head.release_id = :release_id AND head.repository_id = ANY(:repository_ids)
            UNION ALL
            SELECT listed.* FROM release_commit listed
            WHERE listed.release_id = :release_id AND listed.repository_id = ANY(:repository_ids)
                AND (:has_moved OR EXISTS (
                    SELECT FROM release_head_commit head
                    WHERE head.release_id = :release_id AND head.repository_id = ANY(:repository_ids) AND NOT EXISTS (
                        SELECT FROM release_commit found
                        WHERE found.release_id = :release_id AND found.commit_id = head.commit_id
                    )
                ))
        ) placed
        ORDER BY placed.repository_id, placed.layer DESC, placed.sort_time_us DESC, placed.position DESC
        """
    )
)
_SAVE_STATISTICS = """
    UPDATE release SET commit_count = :count, last_commit_id = told.newest, authors = told.authors
    FROM (
        SELECT (
            SELECT listed.commit_id FROM release_commit listed WHERE listed.release_id = :release_id
            ORDER BY listed.layer DESC, listed.sort_time_us DESC, listed.position DESC LIMIT 1
        ) AS newest,
        coalesce((
            SELECT array_agg(author.author_id::text ORDER BY author.author_id)
            FROM (SELECT DISTINCT author_id FROM ({authors}) found WHERE author_id IS NOT NULL) author
        ), '{{}}') AS authors
    ) told
    WHERE release.id = :release_id AND (release.commit_count, release.last_commit_id, release.authors)
        IS DISTINCT FROM (CAST(:count AS integer), told.newest, told.authors)
"""
_STATISTICS_OF_CALL = text(_SAVE_STATISTICS.format(authors="SELECT author_id FROM pg_temp.staged_commit"))
_STATISTICS_WITH_CALL = text(
    _SAVE_STATISTICS.format(
        authors="""
        SELECT author_id FROM pg_temp.staged_commit
        UNION ALL SELECT unnest(before.authors)::bigint FROM release before WHERE before.id = :release_id
        """
    )
)
_STATISTICS_OF_LIST = text(
    _SAVE_STATISTICS.format(
        authors="""
        SELECT known.author_id FROM release_commit listed
        CROSS JOIN LATERAL (SELECT commit.author_id FROM commit WHERE commit.id = listed.commit_id LIMIT 1) known
        WHERE listed.release_id = :release_id
        """
    )
)
_CLEAR_LINKS = text("DELETE FROM release_commit WHERE release_id = :release_id")
_CLEAR_HEADS = text("DELETE FROM release_head_commit WHERE release_id = :release_id")
_CLEAR_STATISTICS = text(
    """
    UPDATE release SET commit_count = 0, last_commit_id = NULL, authors = '{}'
    WHERE id = :release_id AND (commit_count <> 0 OR last_commit_id IS NOT NULL OR authors <> '{}')
    """
)


@dataclass(frozen=True)
class ListedRelease:
    """Whose list is written: a release whose row the transaction holds."""

    organization_id: int
    release_id: int


@dataclass(frozen=True)
class ListChange:
    """How many commits a call added to the list and took away; `is_written` when any row at all was touched.

    `resolved_issue_ids` are the issues that it resolved.
    """

    added: int
    removed: int
    is_written: bool
    resolved_issue_ids: tuple[int, ...] = ()


def replace_commits(transaction: Transaction, target: ListedRelease, commits: Sequence[ReleaseCommit]) -> ListChange:
    """Make these commits, newest first, the release's whole list, with its heads and statistics."""
    return write_commits(transaction, target, CommitMode.REPLACE_ALL, commits, ())


def write_commits(
    transaction: Transaction,
    target: ListedRelease,
    mode: CommitMode,
    commits: Sequence[ReleaseCommit],
    named: Sequence[str],
) -> ListChange:
    """Put these commits, newest first, into the release's list as `mode` says, and bring heads and statistics after.

    `named` are the repositories that lose their commits in REPLACE_REPOSITORY; those of the commits always do. Fields
    that a commit does not tell stay as they are stored.
    """
    plan_anew(transaction)
    names = sorted({*named, *(commit.repository for commit in commits)})
    repositories = save_repositories(transaction, target.organization_id, names)
    values: dict[str, Any] = {
        **vars(target),
        "is_whole": mode is CommitMode.REPLACE_ALL,
        "repository_ids": sorted(repositories.values()),
    }
    before = transaction.execute(_COUNT, values).scalar_one()
    scope, placing = _place(transaction, mode, before, values)
    staged = save_commits(transaction, target.organization_id, commits, repositories, placing)
    values |= vars(placing)
    if mode is CommitMode.APPEND:
        change = _append(transaction, staged, values)
        count = before + change.added
        statistics = _STATISTICS_OF_LIST if staged.changed else _STATISTICS_WITH_CALL
    else:
        heads = _head_ranks(commits, repositories)
        values |= {"head_repository_ids": sorted(heads), "head_ranks": sorted(heads.values())}
        change = _replace(transaction, staged, scope, values)
        count = before - scope + staged.count
        statistics = _STATISTICS_OF_CALL if mode is CommitMode.REPLACE_ALL else _STATISTICS_OF_LIST
    is_counted = _touched(transaction, statistics, {**values, "count": count})
    resolved = resolve_issues(transaction, target.organization_id, target.release_id)
    is_written = change.is_written or staged.is_written or is_counted
    return ListChange(change.added, change.removed, is_written, tuple(resolved))


def clear_commits(transaction: Transaction, target: ListedRelease) -> ListChange:
    """Take all commits and heads from the release; the commits' own rows stay."""
    values = vars(target)
    removed = transaction.execute(_CLEAR_LINKS, values).rowcount
    heads = _touched(transaction, _CLEAR_HEADS, values)
    statistics = _touched(transaction, _CLEAR_STATISTICS, values)
    return ListChange(0, removed, bool(removed) or heads or statistics)


def _place(transaction: Transaction, mode: CommitMode, before: int, values: dict[str, Any]) -> tuple[int, Placing]:
    """How many commits of the list are up to be replaced, and where the call's commits go."""
    layer = base = 0
    scope = before
    if mode is CommitMode.REPLACE_REPOSITORY and before:
        found = transaction.execute(_FIND_STAYING, values).one()
        layer, base, scope = found.layer, found.base, before - found.staying
    elif mode is CommitMode.APPEND:
        scope = 0
        if before:
            top = transaction.execute(_FIND_TOP, values).one()
            layer, base = top.layer, top.base
    by_time = mode is CommitMode.APPEND
    return scope, Placing(values["release_id"], layer, base, by_time=by_time, has_list=before > 0)


def _append(transaction: Transaction, staged: StagedCommits, values: dict[str, Any]) -> ListChange:
    added = staged.count - staged.listed
    if added:
        transaction.execute(_ADD_LINKS, values)
    if staged.moved:
        transaction.execute(_MOVE_LINKS, values)
    heads = _touched(transaction, _SAVE_HEADS_OF_LIST, {**values, "has_moved": staged.moved > 0})
    return ListChange(added, 0, bool(added or staged.moved) or heads)


def _replace(transaction: Transaction, staged: StagedCommits, scope: int, values: dict[str, Any]) -> ListChange:
    is_written = False
    if scope:
        is_written = _touched(transaction, _DROP_HEADS, values)
    if scope > staged.in_place:
        is_written |= _touched(transaction, _DROP_LINKS, values)
    if staged.count > staged.in_place:
        is_written |= _touched(transaction, _ADD_LINKS, values)
    is_written |= _touched(transaction, _SAVE_HEADS_OF_CALL, values)
    return ListChange(staged.count - staged.listed, scope - staged.listed, is_written)


def _head_ranks(commits: Sequence[ReleaseCommit], repositories: dict[str, int]) -> dict[int, int]:
    """The rank of each repository's newest commit, by the repository's id."""
    newest: dict[str, int] = {}
    for rank, commit in zip(range(len(commits), 0, -1), commits, strict=True):
        newest.setdefault(commit.repository, rank)
    return {repositories[name]: rank for name, rank in newest.items()}


def _touched(transaction: Transaction, statement: TextClause, values: dict[str, Any]) -> bool:
    return transaction.execute(statement, values).rowcount > 0
