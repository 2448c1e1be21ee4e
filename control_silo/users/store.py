"""SQL on user_account and the addresses beside it. Usernames and addresses are told apart ignoring case."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Row, Table, Text, func, select, text, update

from control_silo.schema import METADATA
from control_silo.users.domain import NewUser, User
from shared.database import Transaction

user_account = Table(
    "user_account",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("username", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("is_suspended", Boolean, nullable=False),
    Column("date_joined", DateTime(timezone=True), nullable=False),
    Column("version", BigInteger, nullable=False),
)

# As for imported users: no power over the installation, and a password that nobody knows.
_ADD = text(
    """
    INSERT INTO user_account (
        id, username, name, email, password, is_staff, is_superuser, is_active, is_managed, is_unclaimed,
        is_suspended, is_password_expired, last_password_change, flags, avatar_type, date_joined
    )
    VALUES (
        :id, :username, :name, :email, :password, false, false, true, false, false, false, false, :now, 0, 0, :now
    )
    ON CONFLICT (lower(username)) DO NOTHING
    RETURNING id
    """
)
_KEEP_ADDRESS = text("INSERT INTO email_address (email, date_added) VALUES (:email, :now) ON CONFLICT DO NOTHING")
_KEEP_USER_EMAIL = text(
    """
    INSERT INTO user_email (user_id, email, is_verified, validation_hash, date_hash_added)
    VALUES (:id, :email, false, :validation_hash, :now)
    """
)
_RAISE_VERSIONS = text(
    """
    WITH held AS (SELECT id FROM user_account WHERE id = ANY (:ids) ORDER BY id FOR NO KEY UPDATE)
    UPDATE user_account SET version = version + 1 FROM held WHERE user_account.id = held.id
    """
)
_STANDING = text("SELECT id, version, is_active AND NOT is_suspended AS acts FROM user_account WHERE id = ANY (:ids)")
_ADDRESSES = text("SELECT user_id, address FROM user_address WHERE user_id = ANY (:ids) ORDER BY user_id, address")
_SOLE_OWNERS = text(
    """
    SELECT address, min(user_id) AS user_id FROM user_address WHERE address = ANY (CAST(:addresses AS text[]))
    GROUP BY address HAVING count(*) = 1
    """
)


def add(transaction: Transaction, user_id: int, new: NewUser, *, password: str, validation_hash: str) -> bool:
    """Insert the user and the address; False, and nothing, when another user has the username."""
    row = {
        "id": user_id,
        "username": new.username,
        "name": new.name,
        "email": new.email,
        "password": password,
        "now": transaction.now,
    }
    if transaction.execute(_ADD, row).scalar() is None:
        return False
    if new.email:
        transaction.execute(_KEEP_ADDRESS, {"email": new.email, "now": transaction.now})
        address = {"id": user_id, "email": new.email, "validation_hash": validation_hash, "now": transaction.now}
        transaction.execute(_KEEP_USER_EMAIL, address)
    return True


def find(transaction: Transaction, user_id: int) -> User | None:
    """The user of an id."""
    return _one(transaction.execute(select(user_account).where(user_account.c.id == user_id)).one_or_none())


def keep(transaction: Transaction, user_id: int) -> User | None:
    """As `find`; nobody suspends the user until the end."""
    statement = select(user_account).where(user_account.c.id == user_id).with_for_update(read=True)
    return _one(transaction.execute(statement).one_or_none())


def set_suspended(transaction: Transaction, user_id: int, *, suspended: bool) -> User | None:
    """Suspend the user or take that back; None when there is no such user."""
    statement = (
        update(user_account)
        .where(user_account.c.id == user_id)
        .values(is_suspended=suspended, version=user_account.c.version + 1)
        .returning(*user_account.columns)
    )
    return _one(transaction.execute(statement).one_or_none())


def list_page(transaction: Transaction, *, after_id: int, limit: int, username: str) -> list[User]:
    """Up to `limit` users by id, above `after_id`; only the one of `username` unless that is empty."""
    statement = select(user_account).where(user_account.c.id > after_id)
    if username:
        statement = statement.where(func.lower(user_account.c.username) == func.lower(username))
    return [_user(row) for row in transaction.execute(statement.order_by(user_account.c.id).limit(limit))]


def raise_versions(transaction: Transaction, user_ids: Sequence[int]) -> None:
    """Raise the versions of those of these users who exist, in the order of their ids."""
    transaction.execute(_RAISE_VERSIONS, {"ids": list(user_ids)})


def read_standing(transaction: Transaction, user_ids: Sequence[int]) -> dict[int, tuple[int, bool]]:
    """Id -> (version, may act) of those of these users who exist."""
    rows = transaction.execute(_STANDING, {"ids": list(user_ids)})
    return {row.id: (row.version, row.acts) for row in rows}


def addresses_of(transaction: Transaction, user_ids: Sequence[int]) -> dict[int, list[str]]:
    """The addresses by which each user is known, in lower case and in order; see the view of migration 0012."""
    found: dict[int, list[str]] = {}
    for row in transaction.execute(_ADDRESSES, {"ids": list(user_ids)}):
        found.setdefault(row.user_id, []).append(row.address)
    return found


def sole_owners(transaction: Transaction, addresses: Sequence[str]) -> dict[str, int]:
    """The user of each of these addresses, in lower case, by which exactly one is known."""
    rows = transaction.execute(_SOLE_OWNERS, {"addresses": list(addresses)})
    return {row.address: row.user_id for row in rows}


def _one(row: Row[tuple[object, ...]] | None) -> User | None:
    return None if row is None else _user(row)


def _user(row: Row[tuple[object, ...]]) -> User:
    return User(
        id=row.id,
        username=row.username,
        name=row.name,
        email=row.email,
        suspended=row.is_suspended,
        created_at=row.date_joined,
    )
