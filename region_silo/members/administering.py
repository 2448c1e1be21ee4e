"""Who of an organization decides for it as a whole: its owners and managers, while they are its members."""

from sqlalchemy import select

from region_silo.members.domain import ADMINISTERING
from region_silo.members.membership import stands_for
from region_silo.members.tables import organization_member
from shared.database import Transaction


def administers(transaction: Transaction, user_id: int, organization_id: int) -> bool:
    """Whether the user is an owner or manager of the organization."""
    roles = [role.value for role in ADMINISTERING]
    found = select(organization_member.c.id).where(
        stands_for(organization_id, user_id), organization_member.c.role.in_(roles)
    )
    return transaction.execute(found.limit(1)).one_or_none() is not None
