"""What the caller may do to the members and teams of an organization, decided in the transaction that does it."""

from region_silo.members import store
from region_silo.members.domain import Authority
from region_silo.organizations.lookup import hold_active
from shared.database import Transaction
from shared.rpc.call import current_caller


def hold_administered(transaction: Transaction, organization_id: int) -> Authority:
    """Keep the organization as it is until the transaction ends, for a caller that changes its members and teams.

    Raises OrganizationNotFound, OrganizationImporting, and PermissionDenied for a user who is no owner or manager.
    """
    hold_active(transaction, organization_id)
    user_id = current_caller().user_id
    if user_id is None:
        return Authority(None, acts_as_user=False)
    authority = Authority(store.role_of(transaction, organization_id, user_id), acts_as_user=True)
    authority.check_administers()
    return authority
