"""Reading the mapping, and taking what regions tell of their organizations.

A region may speak of organizations that are mapped to it only. One without a mapping is refused, not dropped: its
message waits in the region's outbox until the reservation that makes the mapping is there.
"""

from collections.abc import Sequence

from control_silo.organizations import store
from control_silo.organizations.domain import IMPORTING, Mapping
from control_silo.slugs import redirect_store
from shared import delivery
from shared.database import Transaction
from shared.errors import InvalidArgument, OrganizationImporting, OrganizationNotFound, PeerRefused, Resource
from shared.names import Key, organization_name
from shared.outbox.domain import Message
from shared.rpc import page_token
from shared.rpc.call import current_caller


def apply_organizations(transaction: Transaction, *, region: str, messages: Sequence[Message]) -> None:
    """The outbox's handler: name and life by version; the slug follows its reservation, not this.

    Raises OrganizationNotFound for an organization without a mapping, PeerRefused for another region's.
    """
    told = [
        (int(message.subject), message.version, delivery.decode(message.payload, delivery.OrganizationState))
        for message in sorted(messages, key=lambda message: int(message.subject))
        if not message.deleted
    ]
    known = store.lock(transaction, [organization_id for organization_id, _, _ in told])
    for organization_id, _, _ in told:
        owner = known.get(organization_id)
        if owner is None:
            raise _not_found(organization_id)
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
        raise _not_found(key)
    return found, redirect


def lock_settled(transaction: Transaction, keys: Sequence[Key]) -> list[tuple[int, str]]:
    """Lock the mappings of these organizations until the end; their (id, region) in the order of the keys.

    Raises OrganizationNotFound, OrganizationImporting for one that only its import may change.
    """
    found = [resolve(transaction, key)[0] for key in keys]
    locked = store.lock(transaction, sorted({mapping.organization_id for mapping in found}))
    for key, mapping in zip(keys, found, strict=True):
        if mapping.organization_id not in locked:
            raise _not_found(key)
        if mapping.state == IMPORTING:
            name = organization_name(mapping.organization_id)
            raise OrganizationImporting(resource=Resource("siloway/Organization", name))
    return [(mapping.organization_id, mapping.region) for mapping in found]


def list_organizations(
    transaction: Transaction, *, page_size: int, token: str, region: str
) -> tuple[list[Mapping], str]:
    """A page by id and the next page's token, empty at the end. Raises InvalidPageToken, InvalidArgument."""
    if region and not region.isprintable():
        raise InvalidArgument.of("region", "is no region's name")
    bound_to = current_caller().organization_id
    digest = page_token.query_digest("organizations", region, bound_to)
    after_id = 0
    if token:
        (position,) = page_token.decode(token, digest, (int,))
        assert isinstance(position, int), "decode has checked the type"
        after_id = position
    size = page_token.page_size(page_size)
    page = store.list_page(
        transaction, after_id=after_id, limit=size + 1, region=region or None, organization_id=bound_to
    )
    if len(page) <= size:
        return page, ""
    return page[:size], page_token.encode((page[size - 1].organization_id,), digest)


def _not_found(key: Key) -> OrganizationNotFound:
    return OrganizationNotFound(resource=Resource("siloway/Organization", organization_name(key)))
