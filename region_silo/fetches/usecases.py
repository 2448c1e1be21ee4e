"""Reading fetches: whoever may read a release may see how its fetches go."""

from region_silo.fetches import store
from region_silo.fetches.domain import CommitFetch
from region_silo.organizations.lookup import OrganizationLookup
from region_silo.releases import store as releases_store
from region_silo.releases.domain import release_not_found
from shared import errors
from shared.database import Database, Transaction
from shared.names import CommitFetchName, ReleaseName, commit_fetch_name
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller


class FetchUseCases:
    """Fetches of the releases that the caller may read."""

    def __init__(self, database: Database, organizations: OrganizationLookup) -> None:
        self._database = database
        self._organizations = organizations

    def get_fetch(self, name: CommitFetchName) -> CommitFetch:
        """Raises OrganizationNotFound, CommitFetchNotFound."""
        organization_id = self._organizations.find(name.organization).id
        user_id = current_caller().user_id
        found = self._database.ask(
            lambda transaction: store.find(transaction, organization_id, name.commit_fetch, user_id)
        )
        if found is None:
            resource = errors.Resource("siloway/CommitFetch", commit_fetch_name(organization_id, name.commit_fetch))
            raise errors.CommitFetchNotFound(resource=resource)
        return found

    def list_fetches(self, name: ReleaseName, page_size: int, page_token: str) -> tuple[list[CommitFetch], str]:
        """A page of the release's fetches, newest first, and the token of the next one, empty at the end.

        A page of fetches with many refs ends early. Raises OrganizationNotFound, ReleaseNotFound, InvalidPageToken,
        InvalidArgument.
        """
        organization_id = self._organizations.find(name.organization).id
        user_id = current_caller().user_id
        digest = tokens.query_digest("commit_fetches", organization_id, name.version)
        limit = tokens.page_size(page_size)
        before: int | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [int])[0]  # type: ignore[assignment]

        def work(transaction: Transaction) -> tuple[list[CommitFetch], bool]:
            release_id = releases_store.release_id(transaction, organization_id, name.version, user_id)
            if release_id is None:
                raise release_not_found(organization_id, name.version)
            return store.newest(transaction, organization_id, release_id, before, limit)

        page, more = self._database.read(work)
        return page, tokens.encode((page[-1].id,), digest) if more else ""
