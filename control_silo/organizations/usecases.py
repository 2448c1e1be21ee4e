"""Reading the mapping, and taking what regions tell of their organizations.

A region may speak of organizations that are mapped to it only. One without a mapping is refused, not dropped: its
message waits in the region's outbox until the reservation that makes the mapping is there.
"""

from collections.abc import Sequence

from control_silo.memberships.authority import may_change
from control_silo.organizations import store
from control_silo.organizations.domain import IMPORTING, Mapping
from control_silo.slugs import redirect_store
from shared import delivery
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.errors import (
    InvalidArgument,
    OrganizationDeleting,
    OrganizationImporting,
    OrganizationNotFound,
    OrganizationPendingDeletion,
    PeerRefused,
    Resource,
)
from shared.names import Key, organization_name
from shared.outbox.domain import Message
from shared.rpc import page_token
from shared.rpc.call import current_caller


def apply_organizations(transaction: Transaction, *, region: str, messages: Sequence[Message]) -> None:
    """The outbox's handler of what is there: name and life by version; the slug follows its reservation, not this.

    Raises OrganizationNotFound for an organization without a mapping, PeerRefused for another region's.
    """
    told = [
        (int(message.subject), message.version, delivery.decode(message.payload, delivery.OrganizationState))
        for message in sorted(messages, key=lambda message: int(message.subject))
    ]
    known = store.lock(transaction, [organization_id for organization_id, _, _ in told])
    for organization_id, _, _ in told:
        owner = known.get(organization_id)
        if owner is None:
            raise not_found(organization_id)
        if owner != region:
            raise PeerRefused("an organization is not this region's")
    store.update_states(transaction, [(i, version, state.name, state.state) for i, version, state in told])


def resolve(transaction: Transaction, key: Key) -> tuple[Mapping, str | None]:
    """The mapping of an id, slug or former slug; for the last also that one, whose redirect was used.

    Raises OrganizationNotFound, also when the caller is bound to another one.
    """
    redirect = None
    if isinstance(key, int):
        found = store.find_by_id(transaction, key)
    else:
        found = store.find_by_slug(transaction, key.lower())
        target = redirect_store.find_target(transaction, key.lower()) if found is None else None
        if target is not None:
            found, redirect = store.find_by_id(transaction, target), key.lower()
    bound_to = current_caller().organization_id
    if found is None or bound_to not in (None, found.organization_id):
        raise not_found(key)
    return found, redirect


def resolve_to_change(transaction: Transaction, key: Key) -> Mapping:
    """As `resolve`, for a caller that wants to change the organization; who may not is told that it is not there.

    Raises OrganizationNotFound.
    """
    found, _ = resolve(transaction, key)
    if not may_change(transaction, found.organization_id):
        raise not_found(key)
    return found


def lock_settled(transaction: Transaction, keys: Sequence[Key]) -> list[tuple[int, str]]:
    """Lock the mappings of these organizations until the end; their (id, region) in the order of the keys.

    Raises OrganizationNotFound, also when the caller may not change it, OrganizationImporting for one that only its
    import may change, and what `check_kept` raises.
    """
    found = [resolve_to_change(transaction, key) for key in keys]
    locked = store.lock(transaction, sorted({mapping.organization_id for mapping in found}))
    for key, mapping in zip(keys, found, strict=True):
        now = store.find_by_id(transaction, mapping.organization_id) if mapping.organization_id in locked else None
        if now is None:
            raise not_found(key)
        check_kept(now)
        if mapping.state == IMPORTING:
            name = organization_name(mapping.organization_id)
            raise OrganizationImporting(resource=Resource("siloway/Organization", name))
    return [(mapping.organization_id, mapping.region) for mapping in found]


def list_organizations(
    transaction: Transaction, *, page_size: int, token: str, region: str, show_deleted: bool = False
) -> tuple[list[Mapping], str]:
    """A page by id and the next page's token, empty at the end. Raises InvalidPageToken, InvalidArgument."""
    if region and not region.isprintable():
        raise InvalidArgument.of("region", "is no region's name")
    bound_to = current_caller().organization_id
    digest = page_token.query_digest("organizations", region, bound_to, show_deleted)
    after_id = page_token.decode_number(token, digest) or 0
    size = page_token.page_size(page_size)
    page = store.list_page(
        transaction,
        after_id=after_id,
        limit=size + 1,
        region=region or None,
        organization_id=bound_to,
        show_deleted=show_deleted,
    )
    if len(page) <= size:
        return page, ""
    return page[:size], page_token.encode((page[size - 1].organization_id,), digest)


def check_kept(mapping: Mapping) -> None:
    """Raise OrganizationPendingDeletion or OrganizationDeleting for an organization that is to be deleted."""
    if mapping.deletion is DeletionStage.NONE:
        return
    resource = Resource("siloway/Organization", organization_name(mapping.organization_id))
    if mapping.deletion is not DeletionStage.PENDING:
        raise OrganizationDeleting(resource=resource)
    assert mapping.purge_at is not None, "a deletion that is pending has an end"
    raise OrganizationPendingDeletion(metadata={"purge_time": mapping.purge_at.isoformat()}, resource=resource)


def not_found(key: Key) -> OrganizationNotFound:
    """The refusal for an organization that is not there, or that the caller may not know."""
    return OrganizationNotFound(resource=Resource("siloway/Organization", organization_name(key)))
