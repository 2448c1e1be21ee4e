"""Repositories' rows and the lists of their commits: each function is one statement.

Rows in other states than active and hidden come from imports, are being deleted where they came from, and are not
there for anybody.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, Text, case, cast, func, literal, select, tuple_
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update

from region_silo.releases.tables import REPOSITORY_ACTIVE, commit, commit_author, repository
from region_silo.repositories.domain import Repository, RepositoryCommit, RepositoryFields, RepositoryState
from shared.database import Transaction

PAGE_BYTES_MAX = 1024 * 1024
"""A page of repositories with longer settings ends early: an answer must fit a client's limit."""

_SHOWN = tuple(state.value for state in RepositoryState)


def insert_repository(transaction: Transaction, organization_id: int, fields: RepositoryFields) -> Repository:
    """Write a new repository. Raises IntegrityError when its name or its external id is taken."""
    values = {"organization_id": organization_id, "date_added": transaction.now, **_values(fields)}
    statement = sql_insert(repository).values(values).returning(*repository.c)
    return _repository(transaction.execute(statement).one())


def update_repository(transaction: Transaction, repository_id: int, fields: RepositoryFields) -> Repository:
    """Write the fields of a repository that is held. Raises IntegrityError as insert_repository."""
    statement = sql_update(repository).where(repository.c.id == repository_id).values(_values(fields))
    return _repository(transaction.execute(statement.returning(*repository.c)).one())


def find(
    transaction: Transaction, organization_id: int, repository_id: int, *, hold: bool = False
) -> Repository | None:
    """The organization's repository with that id; `hold` locks it for writing."""
    statement = select(repository).where(
        repository.c.id == repository_id,
        repository.c.organization_id == organization_id,
        repository.c.status.in_(_SHOWN),
    )
    row = transaction.execute(statement.with_for_update() if hold else statement).one_or_none()
    return None if row is None else _repository(row)


def active_by_names(transaction: Transaction, organization_id: int, names: Collection[str]) -> dict[str, Repository]:
    """The active repositories of these names, by name; of several of one name the newest counts."""
    statement = (
        select(repository)
        .where(
            repository.c.organization_id == organization_id,
            repository.c.status == REPOSITORY_ACTIVE,
            repository.c.name.in_(sorted(names)),
        )
        .order_by(repository.c.id)
    )
    return {row.name: _repository(row) for row in transaction.execute(statement)}


def by_name(
    transaction: Transaction,
    organization_id: int,
    state: RepositoryState,
    query: str,
    *,
    after: tuple[str, int] | None,
    limit: int,
) -> tuple[list[Repository], bool]:
    """At most `limit` repositories in that state whose name holds the query, by (name, id), after `after`; more?

    It stops early, after one at least, when their settings together grow over PAGE_BYTES_MAX.
    """
    name = repository.c.name.collate("C")
    statement = select(repository).where(repository.c.organization_id == organization_id, repository.c.status == state)
    if query:
        statement = statement.where(repository.c.name.icontains(query, autoescape=True))
    if after is not None:
        statement = statement.where(tuple_(name, repository.c.id) > tuple_(*map(literal, after)))
    size = func.sum(func.octet_length(cast(repository.c.config, Text))).over(
        order_by=(name, repository.c.id), rows=(None, -1)
    )
    numbered = statement.add_columns(func.coalesce(size, 0).label("size_before"))
    rows = transaction.execute(numbered.order_by(name, repository.c.id).limit(limit + 1)).all()
    kept = [_repository(row) for row in rows[:limit] if row.size_before <= PAGE_BYTES_MAX]
    return kept, len(kept) < len(rows)


def newest_commits(
    transaction: Transaction, repository_id: int, before: int | None, limit: int, bytes_max: int
) -> tuple[list[RepositoryCommit], bool]:
    """At most `limit` commits, those that became known last first, with ids below `before`; are there more?

    It stops early, after one at least, when their messages together grow over `bytes_max`.
    """
    size = func.octet_length(func.coalesce(commit.c.message, ""))
    page = select(commit, func.sum(size).over(order_by=commit.c.id.desc(), rows=(None, -1)).label("size_before")).where(
        commit.c.repository_id == repository_id
    )
    if before is not None:
        page = page.where(commit.c.id < before)
    listed = page.order_by(commit.c.id.desc()).limit(limit + 1).subquery()
    fits = func.coalesce(listed.c.size_before, 0) <= bytes_max
    statement = (
        select(
            listed.c.id,
            listed.c.key,
            listed.c.commit_time,
            case((fits, listed.c.message)).label("message"),
            fits.label("fits"),
            commit_author.c.name.label("author_name"),
            commit_author.c.email.label("author_email"),
        )
        .outerjoin(commit_author, commit_author.c.id == listed.c.author_id)
        .order_by(listed.c.id.desc())
    )
    rows = transaction.execute(statement).all()
    kept = [_commit(row) for row in rows[:limit] if row.fits]
    return kept, len(kept) < len(rows)


def _values(fields: RepositoryFields) -> dict[str, Any]:
    return {
        "name": fields.display_name,
        "url": fields.url or None,
        "provider": fields.provider or None,
        "external_id": fields.external_id or None,
        "config": dict(fields.provider_settings),
        "status": fields.state or RepositoryState.ACTIVE,
    }


def _repository(row: Row[Any]) -> Repository:
    # What an import brought may hold other values than texts; providers here know texts only.
    settings = {str(key): value for key, value in (row.config or {}).items() if isinstance(value, str)}
    fields = RepositoryFields(
        display_name=row.name,
        url=row.url or "",
        provider=row.provider or "",
        external_id=row.external_id or "",
        provider_settings=settings,
        state=RepositoryState(row.status),
    )
    return Repository(row.id, row.organization_id, fields, row.date_added)


def _commit(row: Row[Any]) -> RepositoryCommit:
    return RepositoryCommit(
        id=row.id,
        key=row.key,
        message=row.message or "",
        author_name=row.author_name or "",
        author_email=row.author_email or "",
        commit_time=row.commit_time,
    )
