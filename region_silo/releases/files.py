"""The files that a release's commits change, each once, in pages by (repository, path), compared as bytes.

A page does not look through the whole release: a few next paths of each commit tell where the page ends at the latest,
and only the changes up to there are put together. Only when commits share so many paths that these few are no page, all
that come after are.
"""

from dataclasses import dataclass

from sqlalchemy import text

from shared.database import Transaction
from shared.errors import InvalidPageToken

_FIND = text(
    """
    WITH listed AS MATERIALIZED (
        SELECT link.commit_id, repository.name COLLATE "C" AS repository,
            CASE WHEN repository.name = :repository THEN :path ELSE '' END COLLATE "C" AS after
        FROM release_commit link JOIN repository ON repository.id = link.repository_id
        WHERE link.release_id = :release_id AND repository.name COLLATE "C" >= :repository
    ),
    nearest AS MATERIALIZED (
        SELECT DISTINCT listed.repository, change.filename
        FROM listed CROSS JOIN LATERAL (
            SELECT change.filename COLLATE "C" AS filename FROM commit_file_change change
            WHERE change.commit_id = listed.commit_id AND change.filename COLLATE "C" > listed.after
            ORDER BY change.filename COLLATE "C"
            LIMIT (SELECT 1 + 2 * :limit / greatest(count(*), 1) FROM listed)
        ) change
        ORDER BY listed.repository, change.filename LIMIT :limit
    ),
    final AS MATERIALIZED (
        SELECT repository, filename FROM nearest ORDER BY repository, filename OFFSET :limit - 1
    ),
    found AS (
        SELECT listed.repository, change.* FROM final JOIN listed ON listed.repository = final.repository
        CROSS JOIN LATERAL (
            SELECT change.id, change.filename COLLATE "C" AS filename, change.type FROM commit_file_change change
            WHERE change.commit_id = listed.commit_id AND change.filename COLLATE "C" > listed.after
                AND change.filename COLLATE "C" <= final.filename
        ) change
        UNION ALL
        SELECT listed.repository, change.* FROM listed
        CROSS JOIN LATERAL (
            SELECT change.id, change.filename COLLATE "C" AS filename, change.type FROM commit_file_change change
            WHERE change.commit_id = listed.commit_id AND change.filename COLLATE "C" > listed.after
        ) change
        WHERE NOT EXISTS (SELECT FROM final WHERE final.repository <= listed.repository)
    )
    SELECT repository, filename AS path, array_agg(DISTINCT type ORDER BY type) AS types, count(*) AS commit_count,
        min(id) AS change_id
    FROM found GROUP BY repository, filename ORDER BY repository, filename LIMIT :limit
    """
)
# Rows of file changes are never deleted: the id of one names a file as its path does, and is short.
_FIND_PLACE = text(
    """
    SELECT repository.name AS repository, change.filename AS path
    FROM commit_file_change change
    JOIN commit ON commit.id = change.commit_id
    JOIN repository ON repository.id = commit.repository_id
    WHERE change.id = :change_id
    """
)


@dataclass(frozen=True)
class ChangedFile:
    """A file with what happened to it (A, D, M, each once) and how many commits of the release change it.

    `change_id` is the first of its changes.
    """

    repository: str
    path: str
    types: tuple[str, ...]
    commit_count: int
    change_id: int


def changed_files(transaction: Transaction, release_id: int, after: int | None, limit: int) -> list[ChangedFile]:
    """At most `limit` files by (repository, path), compared as bytes, after the file of the change `after`.

    Raises InvalidPageToken when there is no such change.
    """
    values = {"release_id": release_id, "repository": "", "path": "", "limit": limit}
    if after is not None:
        place = transaction.execute(_FIND_PLACE, {"change_id": after}).one_or_none()
        if place is None:
            raise InvalidPageToken("page_token: is broken")
        values |= {"repository": place.repository, "path": place.path}
    return [
        ChangedFile(row.repository, row.path, tuple(row.types), row.commit_count, row.change_id)
        for row in transaction.execute(_FIND, values)
    ]
