"""Setting, streaming and clearing the commits of a release, and the files that they change.

A call is one transaction with all its effects. Writers of one release take turns on its row; who does not get it within
its deadline changes nothing and is told so (docs/decisions/0024 says how the list is ordered). What a call means is
worked out before the transaction opens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from region_silo.deploys.announcing import announce_pending
from region_silo.fetches import store as fetches
from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.releases import files, held, store
from region_silo.releases.commit_list import ListChange, ListedRelease, clear_commits, write_commits
from region_silo.releases.commit_stream import CommitPart, StreamMemory, collect
from region_silo.releases.commits import (
    CommitMode,
    GivenCommits,
    check_commits,
    default_repository,
    named_repositories,
    normalise,
)
from region_silo.releases.domain import Release, release_not_found
from region_silo.releases.files import ChangedFile
from region_silo.releases.permission import has_release_permission
from shared import errors
from shared.database import Database, Transaction
from shared.database_errors import sqlstate
from shared.names import ReleaseName, release_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller

COMMITS_FIELD = "commits.commits"
_LOCK_NOT_AVAILABLE = "55P03"
_LOCKED_RETRY_S = 0.5

Identify = Callable[..., Mutation]


RESOLVED_SHOWN_MAX = 1000


@dataclass(frozen=True)
class CommitsSet:
    """A release after its commits were set: how many the call added and took away, and how many it left out.

    `resolved_issue_ids` are the first RESOLVED_SHOWN_MAX of the issues that it resolved.
    """

    release: Release
    added: int
    removed: int
    skipped: int
    resolved_issue_ids: tuple[int, ...] = ()


class CommitChanges:
    """Changes of the commits of releases that the caller may change."""

    def __init__(
        self, database: Database, organizations: OrganizationLookup, memory: StreamMemory | None = None
    ) -> None:
        self._database = database
        self._organizations = organizations
        self._memory = memory or StreamMemory()

    def set_commits(self, name: ReleaseName, mode: CommitMode, given: GivenCommits, identify: Identify) -> CommitsSet:
        """The release with these commits.

        Raises InvalidArgument (`commits.commits[i]...`), LimitExceeded, OrganizationNotFound, OrganizationImporting,
        ReleaseNotFound, ReleaseCommitsLocked when other writers hold the release to the end of the deadline,
        RequestIdReused.
        """
        check_commits(given.specs, COMMITS_FIELD)
        return self._set(self._organizations.find(name.organization).id, name.version, mode, given, identify)

    def stream_commits(
        self, name: ReleaseName, mode: CommitMode, parts: Iterator[CommitPart], identify: Identify
    ) -> CommitsSet:
        """As `set_commits` with the commits of all parts, which are held in memory until the last one has come.

        Raises also ResourceExhausted when all streams together hold too much, and what `parts` raises.
        """
        organization_id = self._organizations.find(name.organization).id
        with self._memory.held() as held_bytes:
            given = collect(parts, held_bytes, COMMITS_FIELD)
            return self._set(organization_id, name.version, mode, given, identify)

    def clear_commits(self, name: ReleaseName, identify: Identify) -> CommitsSet:
        """The release without commits and heads; one that has none stays as it is. Raises as `set_commits`."""
        organization_id = self._organizations.find(name.organization).id
        mutation = identify("ClearCommits", organization_id, name.version)
        return self._change(mutation, organization_id, name.version, 0, clear_commits)

    def list_files(self, name: ReleaseName, page_size: int, page_token: str) -> tuple[list[ChangedFile], str]:
        """A page of changed files by repository and path, and the token of the next one, empty at the end.

        Raises OrganizationNotFound, ReleaseNotFound, InvalidPageToken, InvalidArgument.
        """
        organization_id = self._organizations.find(name.organization).id
        digest = tokens.query_digest("release_files", organization_id, name.version)
        limit = tokens.page_size(page_size)
        after: int | None = None
        if page_token:
            after = tokens.decode(page_token, digest, [int])[0]  # type: ignore[assignment]
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> list[ChangedFile]:
            release_id = store.release_id(transaction, organization_id, name.version, user_id)
            if release_id is None:
                raise release_not_found(organization_id, name.version)
            return files.changed_files(transaction, release_id, after, limit + 1)

        rows = self._database.read(work)
        page = rows[:limit]
        return page, tokens.encode((page[-1].change_id,), digest) if len(rows) > limit else ""

    def _set(
        self, organization_id: int, version: str, mode: CommitMode, given: GivenCommits, identify: Identify
    ) -> CommitsSet:
        mutation = identify("SetCommits", organization_id, version, mode.value, given.digest)
        repository = default_repository(organization_id)
        commits = normalise(given.specs, repository)
        named = named_repositories(given.specs, repository)

        def change(transaction: Transaction, target: ListedRelease) -> ListChange:
            fetches.overtake(transaction, target.release_id)
            return write_commits(transaction, target, mode, commits, named)

        return self._change(mutation, organization_id, version, len(given.specs) - len(commits), change)

    def _change(
        self,
        mutation: Mutation,
        organization_id: int,
        version: str,
        skipped: int,
        change: Callable[[Transaction, ListedRelease], ListChange],
    ) -> CommitsSet:
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> CommitsSet:
            hold_active(transaction, organization_id)
            with telling_lock(organization_id, version):
                release = held.hold_changeable(transaction, organization_id, version, user_id)
            if release is None or not has_release_permission(transaction, organization_id, release.id, user_id):
                raise release_not_found(organization_id, version)
            done = change(transaction, ListedRelease(organization_id, release.id))
            announce_pending(transaction, organization_id, release.id)
            if done.is_written:
                store.update_release(transaction, release.id, None)
            found = store.read_release(transaction, organization_id, version, user_id)
            assert found is not None, "a release that is held has gone"
            return CommitsSet(found, done.added, done.removed, skipped, done.resolved_issue_ids[:RESOLVED_SHOWN_MAX])

        def name_of(answer: CommitsSet) -> str:
            return release_name(organization_id, answer.release.version)

        return self._database.transact(
            lambda transaction: once(transaction, mutation, CommitsSet, lambda: work(transaction), resource=name_of)
        )


@contextmanager
def telling_lock(organization_id: int, version: str) -> Iterator[None]:
    """Around the statement that locks a release's row: raises ReleaseCommitsLocked when another writer kept it."""
    try:
        yield
    except DBAPIError as exc:
        if sqlstate(exc) != _LOCK_NOT_AVAILABLE:
            raise
        name = release_name(organization_id, version)
        raise errors.ReleaseCommitsLocked(
            metadata={"release": name},
            retry_after_s=_LOCKED_RETRY_S,
            resource=errors.Resource("siloway/Release", name),
        ) from exc
