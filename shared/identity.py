"""Whose database this is: one row with the silo's name, number and epoch, written by the first migration.

The epoch names this life of the database: every delivery carries it, so that a sender restored from a
backup is noticed.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from shared import errors
from shared.database import Database, Transaction
from shared.schema import silo_identity


@dataclass(frozen=True)
class SiloIdentity:
    """Control has the number 0; a region's number is part of its snowflake ids. `epoch` is a UUID as text."""

    name: str
    number: int
    epoch: str
    created_at: datetime


def read_identity(transaction: Transaction) -> SiloIdentity:
    """The identity's row. Raises WrongSilo when there is none."""
    statement = select(silo_identity.c.name, silo_identity.c.number, silo_identity.c.epoch, silo_identity.c.created_at)
    row = transaction.execute(statement).one_or_none()
    if row is None:
        raise errors.WrongSilo("the database has no silo's identity")
    return SiloIdentity(row.name, row.number, str(row.epoch), row.created_at)


def check_identity(database: Database, name: str, number: int) -> SiloIdentity:
    """The identity, when it is `name` with `number`; else raises WrongSilo. Servers ask before they open a door."""
    identity = database.read(read_identity)
    if (identity.name, identity.number) != (name, number):
        raise errors.WrongSilo(
            f"the database is of silo {identity.name} with number {identity.number}, not {name} with {number}",
            metadata={"database_silo": identity.name, "silo": name},
        )
    return identity


def write_identity(connection: Connection, name: str, number: int, now: datetime) -> None:
    """Write the row if there is none yet."""
    row = {"name": name, "number": number, "epoch": uuid.uuid4(), "created_at": now}
    connection.execute(insert(silo_identity).values(row).on_conflict_do_nothing())
