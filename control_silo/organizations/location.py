"""Where an organization lives, for regions that were asked for one that is not theirs."""

from control_silo.organizations import store
from control_silo.organizations.domain import Mapping
from shared.database import Transaction
from shared.errors import OrganizationNotFound, Resource
from shared.names import Key, organization_name


def locate_organization(transaction: Transaction, key: Key) -> Mapping:
    """The mapping of an id or slug, whoever asks; the asking region decides who may hear it.

    Raises OrganizationNotFound.
    """
    if isinstance(key, int):
        found = store.find_by_id(transaction, key)
    else:
        found = store.find_by_slug(transaction, key.lower())
    if found is None:
        raise OrganizationNotFound(resource=Resource("siloway/Organization", organization_name(key)))
    return found
