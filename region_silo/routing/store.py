"""SQL on the region's replica of the directory, at most 31 rows. An older version never replaces a newer one."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, SmallInteger, Table, Text, select
from sqlalchemy.dialects.postgresql import insert

from region_silo.routing.domain import RegionEntry
from region_silo.schema import METADATA
from shared.database import Transaction

region_directory = Table(
    "region_directory",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("number", SmallInteger, nullable=False),
    Column("public_address", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
)


def write(transaction: Transaction, entries: Sequence[RegionEntry]) -> None:
    """Insert the rows, or replace those with a lower version; in the order of their names."""
    statement = insert(region_directory)
    replaced = {key: statement.excluded[key] for key in ("number", "public_address", "version")}
    statement = statement.on_conflict_do_update(
        constraint="region_directory_pkey",
        set_=replaced,
        where=region_directory.c.version < statement.excluded.version,
    )
    rows = [
        {
            "name": entry.name,
            "number": entry.number,
            "public_address": entry.public_address,
            "version": entry.version,
        }
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]
    transaction.execute(statement, rows)


def read_all(transaction: Transaction) -> list[RegionEntry]:
    """The regions by name."""
    rows = transaction.execute(select(region_directory).order_by(region_directory.c.name))
    return [RegionEntry(row.name, row.number, row.public_address, row.version) for row in rows]
