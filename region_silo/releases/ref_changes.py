"""Setting a release's refs by themselves; UpdateRelease and CreateRelease do the same among their other effects."""

from collections.abc import Callable
from dataclasses import dataclass

from region_silo.fetches import store as fetches
from region_silo.fetches.domain import CommitFetch
from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.releases import held as held_releases
from region_silo.releases import store
from region_silo.releases.commit_list import ListedRelease
from region_silo.releases.domain import Release, release_not_found
from region_silo.releases.permission import has_release_permission
from region_silo.releases.refs import RefChange, check_refs, write_refs
from shared import errors
from shared.database import Database, Transaction
from shared.names import ReleaseName, release_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc.call import current_caller
from shared.snowflake.allocator import SnowflakeAllocator

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


@dataclass(frozen=True)
class RefsSet:
    """The release with its new heads, and the fetch that was asked for, if any."""

    release: Release
    fetch: CommitFetch | None


class RefUseCases:
    """Refs of the releases that the caller may change."""

    def __init__(self, database: Database, ids: SnowflakeAllocator, organizations: OrganizationLookup) -> None:
        self._database = database
        self._ids = ids
        self._organizations = organizations

    def set_refs(self, name: ReleaseName, change: RefChange, *, with_fetch: bool, identify: Identify) -> RefsSet:
        """Set the heads and queue a fetch, in one transaction.

        Raises InvalidArgument (no refs, a wrong range, unknown repositories), OrganizationNotFound,
        OrganizationImporting, ReleaseNotFound, Aborted when other writers hold the release to the end of the deadline,
        RequestIdReused.
        """
        if not change.specs:
            raise errors.InvalidArgument.of(change.fields.list, "must have at least one; ClearCommits takes heads away")
        checked = check_refs(change)
        organization_id = self._organizations.find(name.organization).id
        mutation = identify("SetRefs", organization_id, name.version, checked.refs, change.environment, with_fetch)
        fetch_id = self._ids.take(1)[0] if with_fetch else None
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> RefsSet:
            hold_active(transaction, organization_id)
            held = held_releases.hold_changeable(transaction, organization_id, name.version, user_id)
            if held is None or not has_release_permission(transaction, organization_id, held.id, user_id):
                raise release_not_found(organization_id, name.version)
            write_refs(transaction, ListedRelease(organization_id, held.id), checked, fetch_id)
            store.update_release(transaction, held.id, None)
            release = store.read_release(transaction, organization_id, name.version, user_id)
            assert release is not None, "a release that is held has gone"
            fetch = None if fetch_id is None else fetches.find(transaction, organization_id, fetch_id, user_id)
            return RefsSet(release, fetch)

        return self._database.transact(
            lambda transaction: once(
                transaction,
                mutation,
                RefsSet,
                lambda: work(transaction),
                resource=lambda done: release_name(organization_id, done.release.version),
            )
        )
