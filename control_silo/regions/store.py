"""SQL on region_directory, at most 31 rows."""

from collections.abc import Iterable

from sqlalchemy import Column, DateTime, SmallInteger, Table, Text, select, text
from sqlalchemy.dialects.postgresql import insert

from control_silo.regions.domain import Region
from control_silo.schema import METADATA
from shared.database import Transaction

region_directory = Table(
    "region_directory",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("number", SmallInteger, nullable=False),
    Column("internal_address", Text, nullable=False),
    Column("public_address", Text, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

_LOCK = text("LOCK TABLE region_directory IN SHARE ROW EXCLUSIVE MODE")
_KEEP = text("LOCK TABLE region_directory IN SHARE MODE")


def lock(transaction: Transaction) -> None:
    """Keep other writers of the directory out until the end; readers go on."""
    transaction.execute(_LOCK)


def keep(transaction: Transaction) -> None:
    """Let nobody change the directory until the end; any number of transactions may keep it at once."""
    transaction.execute(_KEEP)


def read_all(transaction: Transaction) -> list[Region]:
    """The regions by name."""
    rows = transaction.execute(select(region_directory).order_by(region_directory.c.name))
    return [Region(row.name, row.number, row.internal_address, row.public_address) for row in rows]


def write(transaction: Transaction, regions: Iterable[Region]) -> None:
    """Insert the regions, or update the addresses of those that are there."""
    for region in regions:
        new = insert(region_directory).values(
            name=region.name,
            number=region.number,
            internal_address=region.internal_address,
            public_address=region.public_address,
            updated_at=transaction.now,
        )
        changed = {key: new.excluded[key] for key in ("internal_address", "public_address", "updated_at")}
        transaction.execute(new.on_conflict_do_update(constraint="region_directory_pkey", set_=changed))
