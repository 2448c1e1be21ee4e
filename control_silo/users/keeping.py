"""Holding a user's row while something is written that depends on it."""

from control_silo.users import store
from control_silo.users.domain import User
from shared.database import Transaction
from shared.errors import Resource, UserNotFound


def keep_user(transaction: Transaction, user_id: int) -> User:
    """The user, whom nobody suspends until the end of the transaction. Raises UserNotFound."""
    found = store.keep(transaction, user_id)
    if found is None:
        raise user_not_found(user_id)
    return found


def user_not_found(user_id: int) -> UserNotFound:
    """The refusal that names the user."""
    return UserNotFound(resource=Resource("siloway/User", f"users/{user_id}"))
