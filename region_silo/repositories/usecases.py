"""Making, changing and reading repositories, and listing their commits.

Whoever knows an organization sees all its repositories. The unique keys decide who gets a name or an external id, never
a look before.
"""

from collections.abc import Callable

from sqlalchemy.exc import IntegrityError

from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.releases.domain import COMMITS_PAGE_BYTES_MAX
from region_silo.repositories import domain, store
from region_silo.repositories.domain import (
    Repository,
    RepositoryCommit,
    RepositoryFields,
    RepositoryState,
    repository_not_found,
)
from shared import errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.names import Key, RepositoryName, repository_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""

_TAKEN = {
    "repository_organization_id_name_key": "display_name",
    "repository_organization_id_provider_external_id_key": "external_id",
}


class RepositoryUseCases:
    """Repositories of the organizations that the caller may see."""

    def __init__(self, database: Database, organizations: OrganizationLookup) -> None:
        self._database = database
        self._organizations = organizations

    def create_repository(self, parent: Key, fields: RepositoryFields, identify: Identify) -> Repository:
        """The new repository.

        Raises InvalidArgument, OrganizationNotFound, OrganizationImporting, RepositoryExists, RequestIdReused.
        """
        domain.check_new(fields)
        organization_id = self._organizations.find(parent).id
        mutation = identify("CreateRepository", organization_id, fields)

        def work(transaction: Transaction) -> Repository:
            hold_active(transaction, organization_id)
            return store.insert_repository(transaction, organization_id, fields)

        return self._write(mutation, fields, work)

    def update_repository(
        self, name: RepositoryName, fields: RepositoryFields, mask: tuple[str, ...] | None, identify: Identify
    ) -> Repository:
        """The repository after the update of the mask's fields (None: those with a value).

        Raises InvalidUpdateMask, RepositoryNotFound, and as create_repository.
        """
        paths = domain.changed_paths(fields, mask)
        organization_id = self._organizations.find(name.organization).id
        wanted = {path: getattr(fields, path) for path in sorted(paths)}
        mutation = identify("UpdateRepository", organization_id, name.repository, wanted)

        def work(transaction: Transaction) -> Repository:
            hold_active(transaction, organization_id)
            held = store.find(transaction, organization_id, name.repository, hold=True)
            if held is None:
                raise repository_not_found(organization_id, name.repository)
            changed = domain.apply_fields(held.fields, fields, paths)
            return held if changed == held.fields else store.update_repository(transaction, held.id, changed)

        return self._write(mutation, fields, work)

    def get_repository(self, name: RepositoryName) -> Repository:
        """Raises OrganizationNotFound, RepositoryNotFound."""
        organization_id = self._organizations.find(name.organization).id
        found = self._database.ask(lambda transaction: store.find(transaction, organization_id, name.repository))
        if found is None:
            raise repository_not_found(organization_id, name.repository)
        return found

    def list_repositories(
        self, parent: Key, state: RepositoryState, query: str, page_size: int, page_token: str
    ) -> tuple[list[Repository], str]:
        """A page by (name, id), and the token of the next one, empty at the end; one of long settings ends early.

        Raises OrganizationNotFound, InvalidPageToken, InvalidArgument.
        """
        organization_id = self._organizations.find(parent).id
        digest = tokens.query_digest("repositories", organization_id, state, query)
        limit = tokens.page_size(page_size)
        after: tuple[str, int] | None = None
        if page_token:
            after = tokens.decode(page_token, digest, [str, int])  # type: ignore[assignment]
        page, more = self._database.ask(
            lambda transaction: store.by_name(transaction, organization_id, state, query, after=after, limit=limit)
        )
        return page, tokens.encode((page[-1].fields.display_name, page[-1].id), digest) if more else ""

    def list_commits(self, name: RepositoryName, page_size: int, page_token: str) -> tuple[list[RepositoryCommit], str]:
        """A page of commits, those that became known last first, and the token of the next one, empty at the end.

        A page of long messages ends early. Raises OrganizationNotFound, RepositoryNotFound, InvalidPageToken,
        InvalidArgument.
        """
        organization_id = self._organizations.find(name.organization).id
        digest = tokens.query_digest("repository_commits", organization_id, name.repository)
        limit = tokens.page_size(page_size)
        before: int | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [int])[0]  # type: ignore[assignment]

        def work(transaction: Transaction) -> tuple[list[RepositoryCommit], bool]:
            if store.find(transaction, organization_id, name.repository) is None:
                raise repository_not_found(organization_id, name.repository)
            return store.newest_commits(transaction, name.repository, before, limit, COMMITS_PAGE_BYTES_MAX)

        rows, more = self._database.read(work)
        return rows, tokens.encode((rows[-1].id,), digest) if more else ""

    def _write(
        self, mutation: Mutation, fields: RepositoryFields, work: Callable[[Transaction], Repository]
    ) -> Repository:
        try:
            return self._database.transact(
                lambda transaction: once(transaction, mutation, Repository, lambda: work(transaction), resource=_name)
            )
        except IntegrityError as exc:
            taken = _TAKEN.get(constraint_name(exc) or "")
            if taken is None:
                raise
            raise errors.RepositoryExists(metadata={"field": taken, "value": getattr(fields, taken)}) from exc


def _name(repository: Repository) -> str:
    return repository_name(repository.organization_id, repository.id)
