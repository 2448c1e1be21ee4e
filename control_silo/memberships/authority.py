"""What a caller that acts for a user may change in control: the organizations whose owner or manager that user is.

Decided by the mirror of members, which follows the region within seconds. Whoever may not is told what is told of an
organization that is not there, so nobody learns of one by asking.
"""

from control_silo.memberships import store
from shared.database import Transaction
from shared.rpc.call import current_caller

MANAGING = ("owner", "manager")
"""The roles that may change an organization as a whole, as regions name them."""

_OPERATE = "silo:operate"


def may_change(transaction: Transaction, organization_id: int) -> bool:
    """Whether the caller may change the organization. Tokens of no user and operators may whatever their scopes let."""
    caller = current_caller()
    if caller.user_id is None or _OPERATE in caller.scopes:
        return True
    return store.has_role(transaction, caller.user_id, organization_id, MANAGING)
