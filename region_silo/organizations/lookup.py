"""Which organization a name means, for every feature of the region.

Names are resolved once, through the model cache, before a transaction opens; what is written is decided inside it,
under a lock, never by the cache. A caller that is bound to another organization, or acts as a user who is no member,
hears what it would hear of an unknown one; who is a member is asked of the database each time. Only a name that means
nothing here costs a look at who else may own it.
"""

from region_silo.organizations import store
from region_silo.organizations.domain import Organization, OrganizationState
from region_silo.routing.owners import Owners
from shared import errors
from shared.database import Database, Transaction
from shared.deletion import DeletionStage
from shared.model_cache import ModelCache
from shared.model_cache_gate import CacheGate
from shared.names import Key, organization_name
from shared.redis import RedisLink
from shared.rpc.call import current_caller

OrganizationCache = ModelCache[Organization]


def organization_cache(database: Database, link: RedisLink | None, gate: CacheGate, silo: str) -> OrganizationCache:
    """The cache of organizations. Whoever changes rows does so inside its `changing(id, ...)`."""
    return ModelCache(
        link,
        gate,
        silo=silo,
        model="organization",
        row_type=Organization,
        load_by={
            "id": lambda value: database.ask(lambda transaction: store.by_id(transaction, value)),
            "slug": lambda value: database.ask(lambda transaction: store.by_slug(transaction, value)),
        },
    )


class OrganizationLookup:
    """Finds organizations by key for the current caller. Without `owners` it knows of this region only."""

    def __init__(self, cache: OrganizationCache, database: Database, owners: Owners | None = None) -> None:
        self._cache = cache
        self._database = database
        self._owners = owners

    def find(self, key: Key) -> Organization:
        """The organization with that id or slug. Never inside a transaction: who is not here is asked for elsewhere.

        Raises OrganizationNotFound, also when the caller may not know it, OrganizationElsewhere, and ResourceExhausted
        when too many callers are asking for what is not here.
        """
        found = self.locate(key)
        self.check_known(found.id, key)
        return found

    def id_to_hold(self, key: Key) -> int:
        """The id for work that calls `hold_active` first: one that is given needs no look before. Raises as `find`.

        Of an id that is not here `hold_active` says so; who then calls `find` hears where it is instead.
        """
        caller = current_caller()
        if isinstance(key, int) and caller.user_id is None and caller.organization_id in (None, key):
            return key
        return self.find(key).id

    def locate(self, key: Key) -> Organization:
        """As `find`, for work that asks by itself whether an acting user is a member and then calls `check_known`."""
        if isinstance(key, int):
            found = self._cache.get_from_cache(id=key)
        else:
            found = self._cache.get_from_cache(slug=key.lower())
        bound_to = current_caller().organization_id
        if found is None:
            found = self._find_elsewhere(key, bound_to)
        if found is None or bound_to not in (None, found.id) or found.deletion is DeletionStage.DELETING:
            raise _not_found(key)
        return found

    def _find_elsewhere(self, key: Key, bound_to: int | None) -> Organization | None:
        """Our own organization, when control knows it by that slug. Raises OrganizationElsewhere, ResourceExhausted."""
        if self._owners is None or (isinstance(key, int) and bound_to not in (None, key)):
            return None
        owner = self._owners.owner_of(key)
        if owner is None or bound_to not in (None, owner.organization_id):
            return None
        if owner.region == self._owners.region:
            return None if isinstance(key, int) else self._cache.get_from_cache(id=owner.organization_id)
        raise errors.OrganizationElsewhere(
            f"{organization_name(key)} is in region {owner.region}",
            metadata={"region": owner.region, "address": owner.address},
            resource=errors.Resource("siloway/Organization", organization_name(owner.organization_id)),
        )

    def check_known(self, organization_id: int, key: Key) -> None:
        """Raise OrganizationNotFound of `key` when the caller acts as a user who is no member."""
        user_id = current_caller().user_id
        if user_id is not None and not self._database.ask(
            lambda transaction: store.knows(transaction, organization_id, user_id)
        ):
            raise _not_found(key)


def hold_active(transaction: Transaction, organization_id: int) -> None:
    """Keep the organization as it is until the transaction ends; the first lock of every write below it.

    Raises OrganizationNotFound when it has gone, is being purged, or the caller acts as a user who is no member;
    OrganizationPendingDeletion when it is to be deleted, OrganizationImporting while an import writes it.
    """
    check_active(store.hold(transaction, organization_id, current_caller().user_id), organization_id)


def check_active(held: store.HeldOrganization | None, organization_id: int) -> None:
    """Raise what `hold_active` raises of an organization that somebody holds, None for one that is not there."""
    if held is None or held.deletion is DeletionStage.DELETING:
        raise _not_found(organization_id)
    resource = errors.Resource("siloway/Organization", organization_name(organization_id))
    if held.deletion is DeletionStage.PENDING:
        purge_time = "" if held.purge_at is None else held.purge_at.isoformat()
        raise errors.OrganizationPendingDeletion(metadata={"purge_time": purge_time}, resource=resource)
    if held.state is OrganizationState.IMPORTING:
        raise errors.OrganizationImporting(resource=resource)


def _not_found(key: Key) -> errors.OrganizationNotFound:
    return errors.OrganizationNotFound(resource=errors.Resource("siloway/Organization", organization_name(key)))
