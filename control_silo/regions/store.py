"""SQL on region_directory, at most 31 rows. `version` is +1 with each change of what regions are told of a row."""

from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Column, DateTime, Row, SmallInteger, Table, Text, select, text, update
from sqlalchemy.dialects.postgresql import insert

from control_silo.regions.domain import Region, RegionState, ShownRegion
from control_silo.schema import METADATA
from shared.database import Transaction
from shared.delivery import RegionEntry

region_directory = Table(
    "region_directory",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("number", SmallInteger, nullable=False),
    Column("internal_address", Text, nullable=False),
    Column("public_address", Text, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False, server_default="active"),
    Column("version", BigInteger, nullable=False, server_default="0"),
)

_LOCK = text("LOCK TABLE region_directory IN SHARE ROW EXCLUSIVE MODE")
_KEEP = text("LOCK TABLE region_directory IN SHARE MODE")

# The index on (region, organization_id) answers the counts. organizations.store imports this file, not the reverse.
_SHOWN = """
    SELECT name, number, public_address, state, updated_at,
        (SELECT count(*) FROM organization_mapping WHERE region = directory.name) AS organization_count
    FROM region_directory AS directory
"""
_SHOW_ALL = text(f"{_SHOWN} ORDER BY name")
_SHOW = text(f"{_SHOWN} WHERE name = :name")


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


def show_all(transaction: Transaction) -> list[ShownRegion]:
    """The regions by name, each with the number of its organizations."""
    return [_shown(row) for row in transaction.execute(_SHOW_ALL)]


def show(transaction: Transaction, name: str) -> ShownRegion | None:
    """One region with the number of its organizations."""
    row = transaction.execute(_SHOW, {"name": name}).one_or_none()
    return None if row is None else _shown(row)


def hold_state(transaction: Transaction, name: str) -> RegionState | None:
    """The state of a region, which nobody changes until the transaction ends; any number of them may hold it."""
    statement = select(region_directory.c.state).where(region_directory.c.name == name).with_for_update(read=True)
    state = transaction.execute(statement).scalar_one_or_none()
    return None if state is None else RegionState(state)


def set_state(transaction: Transaction, name: str, state: RegionState) -> None:
    """Change the state; a row that has it stays as it is. Waits for the transactions that hold it."""
    changed = update(region_directory).where(region_directory.c.name == name, region_directory.c.state != state.value)
    transaction.execute(changed.values(state=state.value, updated_at=transaction.now))


def write(transaction: Transaction, regions: Iterable[Region]) -> None:
    """Insert the regions with version 1, or update the addresses of those that are there and raise their version."""
    for region in regions:
        new = insert(region_directory).values(
            name=region.name,
            number=region.number,
            internal_address=region.internal_address,
            public_address=region.public_address,
            updated_at=transaction.now,
            version=1,
        )
        changed = {key: new.excluded[key] for key in ("internal_address", "public_address", "updated_at")}
        set_ = {**changed, "version": region_directory.c.version + 1}
        transaction.execute(new.on_conflict_do_update(constraint="region_directory_pkey", set_=set_))


def raise_version(transaction: Transaction, name: str) -> bool:
    """Raise the version without another change; whether there is such a region."""
    statement = update(region_directory).where(region_directory.c.name == name)
    return transaction.execute(statement.values(version=region_directory.c.version + 1)).rowcount == 1


def untold(transaction: Transaction) -> list[str]:
    """The regions whose rows no region was told of yet, by name: those of a directory older than its replicas."""
    statement = select(region_directory.c.name).where(region_directory.c.version == 0)
    return list(transaction.execute(statement.order_by(region_directory.c.name)).scalars())


def read_entries(transaction: Transaction, names: Sequence[str]) -> dict[str, tuple[int, RegionEntry]]:
    """What regions are told of these regions: name -> (version, entry)."""
    rows = transaction.execute(select(region_directory).where(region_directory.c.name.in_(names)))
    return {row.name: (row.version, RegionEntry(row.number, row.public_address)) for row in rows}


def _shown(row: Row[tuple[object, ...]]) -> ShownRegion:
    return ShownRegion(
        name=row.name,
        number=row.number,
        public_address=row.public_address,
        state=RegionState(row.state),
        organization_count=row.organization_count,
        updated_at=row.updated_at,
    )
