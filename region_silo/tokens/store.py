"""SQL on the region's replica of tokens. An older version never replaces a newer one."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Row,
    SmallInteger,
    Table,
    Text,
    delete,
    exists,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from region_silo.schema import METADATA
from shared.database import Transaction
from shared.tokens import Token

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

token_confirmation = Table(
    "token_confirmation",
    METADATA,
    Column("id", SmallInteger, primary_key=True),
    Column("confirmed_at", DateTime(timezone=True), nullable=False),
)


def write(transaction: Transaction, tokens: Sequence[Token]) -> None:
    """Insert the rows, or replace those with a lower version; in the order of their ids."""
    statement = insert(token)
    replaced = {column.name: statement.excluded[column.name] for column in token.columns if column.name != "id"}
    statement = statement.on_conflict_do_update(
        constraint="token_pkey", set_=replaced, where=token.c.version < statement.excluded.version
    )
    rows = [
        {
            "id": given.id,
            "secret_hash": given.secret_hash,
            "name": given.name,
            "audience": list(given.audience),
            "scopes": list(given.scopes),
            "organization_id": given.organization_id,
            "expires_at": given.expires_at,
            "revoked_at": given.revoked_at,
            "version": given.version,
            "created_at": given.created_at,
            "user_id": given.user_id,
            "user_suspended": given.user_suspended,
            "calls_per_minute": given.calls_per_minute,
            "ids_per_minute": given.ids_per_minute,
        }
        for given in sorted(tokens, key=lambda given: given.id)
    ]
    transaction.execute(statement, rows)


def remove(transaction: Transaction, token_ids: Sequence[int]) -> None:
    """Delete the rows of these ids."""
    transaction.execute(delete(token).where(token.c.id.in_(token_ids)))


def find_by_hash(transaction: Transaction, secret_hash: bytes) -> Token | None:
    """The token of a secret's hash."""
    row = transaction.execute(select(token).where(token.c.secret_hash == secret_hash)).one_or_none()
    return None if row is None else _token(row)


def _token(row: Row[tuple[object, ...]]) -> Token:
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


def knows_tokens(transaction: Transaction) -> bool:
    """Whether any token has come yet: before that no call can be let in."""
    return bool(transaction.execute(select(exists(select(token.c.id)))).scalar_one())


def write_confirmation(transaction: Transaction, confirmed_at: datetime) -> None:
    """Keep the confirmation unless a newer one is there."""
    statement = insert(token_confirmation).values(id=1, confirmed_at=confirmed_at)
    statement = statement.on_conflict_do_update(
        constraint="token_confirmation_pkey",
        set_={"confirmed_at": statement.excluded.confirmed_at},
        where=token_confirmation.c.confirmed_at < statement.excluded.confirmed_at,
    )
    transaction.execute(statement)


def read_confirmation(transaction: Transaction) -> datetime | None:
    """Up to when control has told every change of a token; None before the first confirmation."""
    return transaction.execute(select(token_confirmation.c.confirmed_at)).scalar_one_or_none()
