"""Taking control's word on users: who may act, who does not exist, and whose invitations are whose.

A membership follows its user in the transaction that learns of it; who adds a member holds the user's row, so no
membership misses what comes at the same moment. Source: spec/hybrid.md 1.3.
"""

from collections.abc import Sequence

from region_silo.members import invitations
from region_silo.members import store as member_store
from region_silo.users import store
from region_silo.users.domain import KnownUser, Standing
from shared import delivery
from shared.database import Transaction
from shared.outbox.domain import Message


def apply_users(transaction: Transaction, messages: Sequence[Message]) -> None:
    """The outbox's handler: take each user's newest state, then let memberships and invitations follow."""
    users = sorted((_user(message) for message in messages), key=lambda user: user.id)
    store.write(transaction, users)
    for may_act in (True, False):
        chosen = [user.id for user in users if user.standing.may_act is may_act]
        if chosen:
            member_store.set_active(transaction, chosen, is_active=may_act)
    invitations.give(transaction, users)


def _user(message: Message) -> KnownUser:
    user_id = int(message.subject)
    if message.deleted:
        return KnownUser(user_id, Standing.UNKNOWN, message.version)
    state = delivery.decode(message.payload, delivery.UserState)
    standing = Standing.ACTIVE if state.is_active else Standing.INACTIVE
    return KnownUser(user_id, standing, message.version, state.addresses)
