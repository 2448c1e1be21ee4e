"""The files that a release's commits change, each once, in pages by (repository, path)."""

from dataclasses import dataclass

from sqlalchemy import text

from shared.database import Transaction
from shared.errors import InvalidPageToken

_FIND = text(
    """
    SELECT repository.name AS repository, change.filename AS path,
        array_agg(DISTINCT change.type ORDER BY change.type) AS types, count(DISTINCT change.commit_id) AS commit_count,
        min(change.id) AS change_id
    FROM release_commit listed
    JOIN repository ON repository.id = listed.repository_id
    CROSS JOIN LATERAL (
        SELECT change.id, change.filename, change.type, change.commit_id FROM commit_file_change change
        WHERE change.commit_id = listed.commit_id
    ) change
    WHERE listed.release_id = :release_id AND (
        :is_first OR repository.name COLLATE "C" > :repository
        OR (repository.name = :repository AND change.filename COLLATE "C" > :path)
    )
    GROUP BY repository.name, change.filename
    ORDER BY repository.name COLLATE "C", change.filename COLLATE "C"
    LIMIT :limit
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
    values = {"release_id": release_id, "is_first": after is None, "repository": "", "path": "", "limit": limit}
    if after is not None:
        place = transaction.execute(_FIND_PLACE, {"change_id": after}).one_or_none()
        if place is None:
            raise InvalidPageToken("page_token: is broken")
        values |= {"repository": place.repository, "path": place.path}
    return [
        ChangedFile(row.repository, row.path, tuple(row.types), row.commit_count, row.change_id)
        for row in transaction.execute(_FIND, values)
    ]
