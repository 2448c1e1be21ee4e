"""Keeping what regions announce, for the integrations that carry it out of Siloway.

The outbox delivers each announcement once, so each is kept once. A region speaks only for its own organizations.
"""

from collections.abc import Sequence

from control_silo.announcements import store
from control_silo.memberships.store import regions_of_organizations
from control_silo.regions.usecases import number_of
from control_silo.slugs.domain import is_own
from shared.database import Transaction
from shared.delivery import StatusSync
from shared.errors import PeerRefused


def keep(transaction: Transaction, region: str, announcements: Sequence[StatusSync]) -> None:
    """Keep them in this order. Raises PeerRefused for an organization of another region."""
    number = number_of(transaction, region)
    whose = regions_of_organizations(transaction, {each.organization_id for each in announcements})
    for organization_id, mapped_to in whose.items():
        if number is None or not is_own(organization_id, mapped_to, region=region, number=number):
            raise PeerRefused("an organization is not this region's", metadata={"region": region})
    store.add(transaction, announcements)
