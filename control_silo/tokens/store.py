"""SQL on control's token table. Every change of a row raises its version."""

from collections.abc import Sequence

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, LargeBinary, Row, Table, Text, insert, select, text, update

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
)

_IDS_FOR_AUDIENCE = text("SELECT id FROM token WHERE audience && CAST(ARRAY[:everywhere, :silo] AS text[]) ORDER BY id")


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


def read_many(transaction: Transaction, token_ids: Sequence[int]) -> list[Token]:
    """The tokens of these ids that exist, in no order."""
    return [to_token(row) for row in transaction.execute(select(token).where(token.c.id.in_(token_ids)))]


def ids_for_audience(transaction: Transaction, silo: str) -> list[int]:
    """The ids of all tokens that are for a silo, ascending."""
    found = transaction.execute(_IDS_FOR_AUDIENCE, {"everywhere": EVERYWHERE, "silo": silo})
    return list(found.scalars())


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
    )


def _one(row: Row[tuple[object, ...]] | None) -> Token | None:
    return None if row is None else to_token(row)
