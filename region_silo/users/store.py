"""SQL on the region's replica of users. An older version never replaces a newer one; rows are locked by id."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import BigInteger, Column, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from region_silo.schema import METADATA
from region_silo.users.domain import KnownUser, Standing
from shared.database import Transaction

known_user = Table(
    "known_user",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("addresses", ARRAY(Text), nullable=False),
)

_EXPECT = text(
    """
    INSERT INTO known_user (id, state, version)
    SELECT id, 0, 0 FROM unnest(CAST(:ids AS bigint[])) AS wanted (id) ORDER BY id
    ON CONFLICT ON CONSTRAINT known_user_pkey DO NOTHING
    """
)
_HOLD = text("SELECT id, state FROM known_user WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR SHARE")
_WRITE = text(
    """
    INSERT INTO known_user (id, state, version, addresses)
    SELECT id, state, version, addresses
    FROM json_to_recordset(CAST(:rows AS json)) AS told (id bigint, state smallint, version bigint, addresses text[])
    ORDER BY id
    ON CONFLICT ON CONSTRAINT known_user_pkey DO UPDATE
    SET state = excluded.state, version = excluded.version, addresses = excluded.addresses
    WHERE known_user.version < excluded.version
    """
)


def expect(transaction: Transaction, user_ids: Iterable[int]) -> dict[int, Standing]:
    """What is known of each user, which stays so until the end; one who is new here is UNCONFIRMED from now on."""
    ids = sorted(set(user_ids))
    if not ids:
        return {}
    transaction.execute(_EXPECT, {"ids": ids})
    return {row.id: Standing(row.state) for row in transaction.execute(_HOLD, {"ids": ids})}


def write(transaction: Transaction, users: Sequence[KnownUser]) -> None:
    """Insert the users, or replace those with a lower version; waits for all who hold one."""
    rows = [
        {"id": user.id, "state": user.standing.value, "version": user.version, "addresses": user.addresses}
        for user in users
    ]
    transaction.execute(_WRITE, {"rows": msgspec.json.encode(rows).decode()})
