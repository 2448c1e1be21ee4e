"""SQL on control's token table. Every change of a row raises its version."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    insert,
    select,
    text,
    update,
)

from control_silo.schema import METADATA
from shared.database import Transaction
from shared.tokens import EVERYWHERE, Token

token = Table(
    "token",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("audience", ARRAY(Text), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("organization_id", BigInteger),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("version", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("user_id", BigInteger),
    Column("user_suspended", Boolean, nullable=False),
    Column("calls_per_minute", Integer, nullable=False),
    Column("ids_per_minute", Integer, nullable=False),
)

_IDS_FOR_AUDIENCE = text("SELECT id FROM token WHERE audience && CAST(ARRAY[:everywhere, :silo] AS text[]) ORDER BY id")

# A refused message backs off on its own and is told to operators; one without attempts is on its way.
_OLDEST_WAITING = text(
    """
    SELECT created_at FROM outbox_message
    WHERE target = :region AND category = 'token' AND attempts = 0 ORDER BY id LIMIT 1
    """
)
_IS_WAITING = text("SELECT true FROM outbox_message WHERE target = :region AND aggregate = :aggregate LIMIT 1")


def add(transaction: Transaction, new: Token) -> None:
    """Insert the row."""
    values = {
        "id": new.id,
        "secret_hash": new.secret_hash,
        "name": new.name,
        "audience": list(new.audience),
        "scopes": list(new.scopes),
        "organization_id": new.organization_id,
        "expires_at": new.expires_at,
        "revoked_at": new.revoked_at,
        "version": new.version,
        "created_at": new.created_at,
        "user_id": new.user_id,
        "user_suspended": new.user_suspended,
        "calls_per_minute": new.calls_per_minute,
        "ids_per_minute": new.ids_per_minute,
    }
    transaction.execute(insert(token).values(values))


def revoke(transaction: Transaction, token_id: int) -> Token | None:
    """Mark the row as revoked; returns it as it is now, or None when there is none that was not revoked."""
    statement = (
        update(token)
        .where(token.c.id == token_id, token.c.revoked_at.is_(None))
        .values(revoked_at=transaction.now, version=token.c.version + 1)
        .returning(token)
    )
    return _one(transaction.execute(statement).one_or_none())


def set_scopes(transaction: Transaction, token_id: int, scopes: Sequence[str]) -> Token | None:
    """Give the token other scopes; returns the row as it is now."""
    statement = (
        update(token)
        .where(token.c.id == token_id)
        .values(scopes=list(scopes), version=token.c.version + 1)
        .returning(token)
    )
    return _one(transaction.execute(statement).one_or_none())


def raise_version(transaction: Transaction, token_id: int) -> Token | None:
    """Raise the version without another change; returns the row as it is now."""
    statement = update(token).where(token.c.id == token_id).values(version=token.c.version + 1).returning(token)
    return _one(transaction.execute(statement).one_or_none())


def find_by_id(transaction: Transaction, token_id: int) -> Token | None:
    """The token of an id."""
    return _one(transaction.execute(select(token).where(token.c.id == token_id)).one_or_none())


def find_by_hash(transaction: Transaction, secret_hash: bytes) -> Token | None:
    """The token of a secret's hash."""
    return _one(transaction.execute(select(token).where(token.c.secret_hash == secret_hash)).one_or_none())


def find_unrevoked_by_name(transaction: Transaction, name: str) -> list[Token]:
    """The tokens of a name that were not revoked, by id."""
    statement = select(token).where(token.c.name == name, token.c.revoked_at.is_(None)).order_by(token.c.id)
    return [to_token(row) for row in transaction.execute(statement)]


def find_unrevoked_by_user(transaction: Transaction, user_id: int) -> list[Token]:
    """The tokens that act for a user and were not revoked, by id."""
    statement = select(token).where(token.c.user_id == user_id, token.c.revoked_at.is_(None)).order_by(token.c.id)
    return [to_token(row) for row in transaction.execute(statement)]


def set_user_suspended(transaction: Transaction, user_id: int, *, suspended: bool) -> list[Token]:
    """Note on all tokens of a user that were not revoked whether the user is suspended; returns those that changed.

    Tokens are locked in the order of their ids.
    """
    wanted = select(token.c.id).where(
        token.c.user_id == user_id, token.c.revoked_at.is_(None), token.c.user_suspended.is_(not suspended)
    )
    ids = list(transaction.execute(wanted.order_by(token.c.id).with_for_update()).scalars())
    statement = (
        update(token)
        .where(token.c.id.in_(ids))
        .values(user_suspended=suspended, version=token.c.version + 1)
        .returning(token)
    )
    changed = [to_token(row) for row in transaction.execute(statement)] if ids else []
    return sorted(changed, key=lambda each: each.id)


def list_page(
    transaction: Transaction,
    *,
    after_id: int,
    limit: int,
    organization_id: int | None,
    user_id: int | None,
    show_revoked: bool,
) -> list[Token]:
    """Up to `limit` tokens by id, above `after_id`; of one organization, of one user, when given."""
    statement = select(token).where(token.c.id > after_id)
    if organization_id is not None:
        statement = statement.where(token.c.organization_id == organization_id)
    if user_id is not None:
        statement = statement.where(token.c.user_id == user_id)
    if not show_revoked:
        statement = statement.where(token.c.revoked_at.is_(None))
    return [to_token(row) for row in transaction.execute(statement.order_by(token.c.id).limit(limit))]


def read_many(transaction: Transaction, token_ids: Sequence[int]) -> list[Token]:
    """The tokens of these ids that exist, in no order."""
    return [to_token(row) for row in transaction.execute(select(token).where(token.c.id.in_(token_ids)))]


def ids_for_audience(transaction: Transaction, silo: str) -> list[int]:
    """The ids of all tokens that are for a silo, ascending."""
    found = transaction.execute(_IDS_FOR_AUDIENCE, {"everywhere": EVERYWHERE, "silo": silo})
    return list(found.scalars())


def oldest_waiting(transaction: Transaction, region: str) -> datetime | None:
    """When the oldest change of a token was noted that is on its way to the region; None when there is none."""
    return cast("datetime | None", transaction.execute(_OLDEST_WAITING, {"region": region}).scalar())


def is_waiting(transaction: Transaction, region: str, aggregate: str) -> bool:
    """Whether a message of the aggregate waits to be delivered to the region."""
    return transaction.execute(_IS_WAITING, {"region": region, "aggregate": aggregate}).scalar() is not None


def to_token(row: Row[tuple[object, ...]]) -> Token:
    """The row as the type that all silos share."""
    return Token(
        id=row.id,
        secret_hash=bytes(row.secret_hash),
        name=row.name,
        audience=tuple(row.audience),
        scopes=tuple(row.scopes),
        organization_id=row.organization_id,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        version=row.version,
        created_at=row.created_at,
        user_id=row.user_id,
        user_suspended=row.user_suspended,
        calls_per_minute=row.calls_per_minute,
        ids_per_minute=row.ids_per_minute,
    )


def _one(row: Row[tuple[object, ...]] | None) -> Token | None:
    return None if row is None else to_token(row)
