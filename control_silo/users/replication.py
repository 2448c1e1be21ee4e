"""Telling regions of users: who may act, and whose invitations are whose.

A user's version rises with each change and with each region that hears of the user anew; regions drop what is not newer
than what they have seen. An address counts for a user when it is the user's own or verified, and nobody else's; what a
file of an import calls a user's address does not count, for whoever wrote the file may have written anything.
"""

from collections.abc import Iterable, Mapping, Sequence

from control_silo.users import store
from shared import delivery
from shared.database import Transaction
from shared.outbox import enqueue, tombstones
from shared.outbox.domain import SubjectState

ADDRESSES_MAX = 100
"""How many addresses of one user a region is told of; the contract's bound."""
_UNKNOWN_VERSION = 1


def tell_region(transaction: Transaction, region: str, user_ids: Sequence[int]) -> None:
    """Tell a region of users that it may not have heard of; of ids that nobody has too."""
    if user_ids:
        store.raise_versions(transaction, user_ids)
    for user_id in user_ids:
        _send(transaction, user_id, region)


def tell_regions(transaction: Transaction, user_id: int, regions: Iterable[str]) -> None:
    """Tell these regions of a user whose version has just risen."""
    for region in regions:
        _send(transaction, user_id, region)


def owners_of_addresses(transaction: Transaction, addresses: Sequence[str]) -> set[int]:
    """The users to whom one of these addresses, in lower case, belongs alone."""
    return set(store.sole_owners(transaction, addresses).values())


class UserSource:
    """Reads the rows that the outbox's user messages stand for."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        """The state of each user by the id as text; an id that nobody has, or has any more, is a deleted one."""
        user_ids = [int(subject) for subject in subjects]
        addresses = store.addresses_of(transaction, user_ids)
        sole = store.sole_owners(transaction, sorted({each for own in addresses.values() for each in own}))
        states: dict[str, SubjectState] = {subject: (_UNKNOWN_VERSION, True, {}) for subject in subjects}
        states |= tombstones.read(transaction, delivery.USER, subjects)
        for user_id, (version, is_active) in store.read_standing(transaction, user_ids).items():
            own = tuple(each for each in addresses.get(user_id, ()) if sole.get(each) == user_id)
            state = delivery.UserState(is_active, own[:ADDRESSES_MAX])
            states[str(user_id)] = (version, False, delivery.encode(state))
        return states


def _send(transaction: Transaction, user_id: int, region: str) -> None:
    enqueue(transaction, target=region, aggregate=f"users/{user_id}", category=delivery.USER, subject=str(user_id))
