"""What provisioning asks of control's users."""

from sqlalchemy import text

from shared.database import Transaction

_IS_ACTIVE = text("SELECT is_active AND NOT is_suspended FROM user_account WHERE id = :id FOR KEY SHARE")


def is_active_user(transaction: Transaction, user_id: int) -> bool:
    """Whether there is such a user who may own something."""
    return bool(transaction.execute(_IS_ACTIVE, {"id": user_id}).scalar())
