"""What one release has and another has not: commits by their rows, with their files, and the heads of both.

Pages go by the place in the release, newest first; counts and heads come with the first page. The caller must be
able to read both releases.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from region_silo.organizations.lookup import OrganizationLookup
from region_silo.releases import store
from region_silo.releases.domain import COMMITS_PAGE_BYTES_MAX, Commit, release_not_found
from shared import errors
from shared.database import Database, Transaction
from shared.names import ReleaseName
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller

PAGE_SIZE_MAX = 1000
_FILES_A_COMMIT = 1000
_FILES_A_PAGE = 4000
"""A page of commits that change more ends early: an answer must fit a client's limit."""

_NEW = """
    release_commit listed
    WHERE listed.release_id = :release_id AND NOT EXISTS (
        SELECT FROM release_commit base WHERE base.release_id = :base_id AND base.commit_id = listed.commit_id
    )
"""
_PAGE = text(
    f"""
    SELECT layer, sort_time_us, position, commit_id, key, repository, message, author_name, author_email, commit_time,
        size_before, is_last
    FROM (
        SELECT page.*, commit.key, repository.name AS repository, commit.message,
            author.name AS author_name, author.email AS author_email, commit.commit_time,
            coalesce(sum(octet_length(coalesce(commit.message, ''))) OVER (
                newest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), 0) AS size_before,
            row_number() OVER newest > :limit AS is_last
        FROM (
            SELECT listed.layer, listed.sort_time_us, listed.position, listed.commit_id FROM {_NEW}
                AND (listed.layer, listed.sort_time_us, listed.position) < (:layer, :sort_time_us, :position)
            ORDER BY listed.layer DESC, listed.sort_time_us DESC, listed.position DESC LIMIT :limit + 1
        ) page
        JOIN commit ON commit.id = page.commit_id
        JOIN repository ON repository.id = commit.repository_id
        LEFT JOIN commit_author author ON author.id = commit.author_id
        WINDOW newest AS (ORDER BY page.layer DESC, page.sort_time_us DESC, page.position DESC)
    ) shown
    ORDER BY layer DESC, sort_time_us DESC, position DESC
    """
)
_FILES = text(
    """
    SELECT asked.commit_id, file.filename, file.type
    FROM unnest(CAST(:commit_ids AS bigint[])) WITH ORDINALITY AS asked (commit_id, ordinal),
        LATERAL (
            SELECT change.filename, change.type FROM commit_file_change change
            WHERE change.commit_id = asked.commit_id ORDER BY change.filename COLLATE "C" LIMIT :files_a_commit
        ) file
    ORDER BY asked.ordinal, file.filename COLLATE "C" LIMIT :files_max
    """
)
_COUNTS = text(
    f"""
    WITH fresh AS (SELECT listed.commit_id FROM {_NEW})
    SELECT (SELECT count(*) FROM fresh) AS commits,
        (
            SELECT count(DISTINCT (commit.repository_id, change.filename))
            FROM fresh JOIN commit_file_change change ON change.commit_id = fresh.commit_id
            JOIN commit ON commit.id = fresh.commit_id
        ) AS files
    """
)
_HEADS = text(
    """
    SELECT repository.name, repository.id,
        max(commit.key) FILTER (WHERE head.release_id = :base_id) AS base_key,
        max(commit.key) FILTER (WHERE head.release_id = :release_id) AS key
    FROM release_head_commit head
    JOIN commit ON commit.id = head.commit_id
    JOIN repository ON repository.id = head.repository_id
    WHERE head.release_id IN (:base_id, :release_id)
    GROUP BY repository.id, repository.name ORDER BY repository.name COLLATE "C", repository.id
    """
)
_PLACE_MAX = 2**63 - 1
_NEWEST_PLACE = (_PLACE_MAX, _PLACE_MAX, _PLACE_MAX)


@dataclass(frozen=True)
class ComparedFile:
    """A file that a commit changes; type is A, D or M."""

    path: str
    type: str


@dataclass(frozen=True)
class ComparedCommit:
    """A commit that only one of the releases has, with its files, at most 1000."""

    commit: Commit
    files: tuple[ComparedFile, ...]


@dataclass(frozen=True)
class ComparedHead:
    """The heads of one repository; an empty one is not there."""

    repository: str
    base_key: str
    key: str


@dataclass(frozen=True)
class Comparison:
    """A page; counts and heads are those of the first one."""

    commits: list[ComparedCommit]
    next_page_token: str
    commit_count: int = 0
    file_count: int = 0
    heads: list[ComparedHead] = field(default_factory=list)


class ComparingUseCases:
    """Compares releases that the caller may read."""

    def __init__(self, database: Database, organizations: OrganizationLookup) -> None:
        self._database = database
        self._organizations = organizations

    def compare(self, name: ReleaseName, base: ReleaseName, page_size: int, page_token: str) -> Comparison:
        """What `name` has and `base` has not.

        A page of long messages or of many files ends early. Raises OrganizationNotFound, ReleaseNotFound,
        InvalidArgument (also for releases of two organizations), InvalidPageToken.
        """
        organization_id = self._organizations.find(name.organization).id
        if self._organizations.find(base.organization).id != organization_id:
            raise errors.InvalidArgument.of("base_release", "must be a release of the same organization")
        digest = tokens.query_digest("compare", organization_id, name.version, base.version)
        limit = tokens.page_size(page_size, maximum=PAGE_SIZE_MAX)
        layer, sort_time_us, position = _NEWEST_PLACE
        if page_token:
            layer, sort_time_us, position = tokens.decode(page_token, digest, [int, int, int])  # type: ignore[assignment]
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> Comparison:
            values: dict[str, Any] = {
                "limit": limit,
                "layer": layer,
                "sort_time_us": sort_time_us,
                "position": position,
            }
            for key, version in (("release_id", name.version), ("base_id", base.version)):
                values[key] = store.release_id(transaction, organization_id, version, user_id)
                if values[key] is None:
                    raise release_not_found(organization_id, version)
            page, last = _page(transaction, values)
            token = "" if last is None else tokens.encode(last, digest)
            if page_token:
                return Comparison(page, token)
            counts = transaction.execute(_COUNTS, values).one()
            return Comparison(page, token, counts.commits, counts.files, _heads(transaction, values))

        return self._database.read(work)


def _page(transaction: Transaction, values: dict[str, Any]) -> tuple[list[ComparedCommit], store.CommitPlace | None]:
    """The commits, and the place of the last one when there are more."""
    rows = transaction.execute(_PAGE, values).all()
    kept = [row for row in rows if not row.is_last and row.size_before <= COMMITS_PAGE_BYTES_MAX]
    files = defaultdict(list)
    # The commit that is the first too many is cut short, and not shown.
    wanted = {
        "commit_ids": [row.commit_id for row in kept],
        "files_a_commit": _FILES_A_COMMIT,
        "files_max": _FILES_A_PAGE + 1,
    }
    for row in transaction.execute(_FILES, wanted):
        files[row.commit_id].append(ComparedFile(row.filename, row.type))
    page: list[ComparedCommit] = []
    files_shown = 0
    for row in kept:
        files_shown += len(files[row.commit_id])
        if page and files_shown > _FILES_A_PAGE:
            break
        commit = Commit(
            key=row.key,
            repository=row.repository,
            message=row.message or "",
            author_name=row.author_name or "",
            author_email=row.author_email or "",
            commit_time=row.commit_time,
        )
        page.append(ComparedCommit(commit, tuple(files[row.commit_id])))
    if len(page) == len(rows):
        return page, None
    last = kept[len(page) - 1]
    return page, (last.layer, last.sort_time_us, last.position)


def _heads(transaction: Transaction, values: dict[str, Any]) -> list[ComparedHead]:
    rows = transaction.execute(_HEADS, values)
    return [ComparedHead(row.name, row.base_key or "", row.key or "") for row in rows]
