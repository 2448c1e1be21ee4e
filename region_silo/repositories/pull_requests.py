"""Pull requests of repositories: brought up to date by whoever knows the provider, and read.

A pull request that says "fixes PROJECT-1" links the issue, which stays open until a release carries the commit that
merged it: one that does already resolves it here, and a later one when it is written (spec/releases.md 2.9).
"""

from collections.abc import Callable
from datetime import datetime

from region_silo.issues.resolving import resolve_merged
from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.releases.commits import author_of
from region_silo.repositories import pull_request_store as store
from region_silo.repositories.domain import repository_not_found
from region_silo.repositories.pull_request_domain import PullRequest, PullRequestDraft, check_draft
from shared.database import Database, Transaction
from shared.names import RepositoryName, pull_request_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


class PullRequestUseCases:
    """Pull requests of the repositories of organizations that the caller may see."""

    def __init__(self, database: Database, organizations: OrganizationLookup) -> None:
        self._database = database
        self._organizations = organizations

    def set_pull_request(self, parent: RepositoryName, draft: PullRequestDraft, identify: Identify) -> PullRequest:
        """The pull request as it is then, made if it was not there.

        Raises InvalidArgument, OrganizationNotFound, OrganizationImporting, RepositoryNotFound, RequestIdReused.
        """
        check_draft(draft)
        organization_id = self._organizations.find(parent.organization).id
        author = author_of(draft.author_name, draft.author_email)
        mutation = identify("SetPullRequest", organization_id, parent.repository, draft)

        def work(transaction: Transaction) -> PullRequest:
            hold_active(transaction, organization_id)
            carrying = store.hold_carrying(transaction, organization_id, parent.repository, draft)
            if not store.hold_repository(transaction, organization_id, parent.repository):
                raise repository_not_found(organization_id, parent.repository)
            author_id = None if author is None else store.save_author(transaction, organization_id, author)
            saved, merge = store.save(transaction, organization_id, parent.repository, draft, author_id)
            if merge is not None and carrying:
                resolve_merged(transaction, organization_id, merge, carrying)
            return store.read(transaction, saved)

        return self._database.transact(
            lambda transaction: once(transaction, mutation, PullRequest, lambda: work(transaction), resource=_name)
        )

    def list_pull_requests(
        self, parent: RepositoryName, page_size: int, page_token: str
    ) -> tuple[list[PullRequest], str]:
        """A page, newest first, and the token of the next one, empty at the end.

        Raises OrganizationNotFound, RepositoryNotFound, InvalidPageToken, InvalidArgument.
        """
        organization_id = self._organizations.find(parent.organization).id
        digest = tokens.query_digest("pull_requests", organization_id, parent.repository)
        limit = tokens.page_size(page_size)
        before: tuple[datetime, int] | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [datetime, int])  # type: ignore[assignment]

        def work(transaction: Transaction) -> list[PullRequest]:
            if not store.knows_repository(transaction, organization_id, parent.repository):
                raise repository_not_found(organization_id, parent.repository)
            return store.newest(transaction, parent.repository, before, limit + 1)

        rows = self._database.read(work)
        page = rows[:limit]
        return page, tokens.encode((page[-1].create_time, page[-1].id), digest) if len(rows) > limit else ""


def _name(pull_request: PullRequest) -> str:
    return pull_request_name(pull_request.organization_id, pull_request.repository_id, pull_request.key)
