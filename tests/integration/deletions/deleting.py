"""Asks for deletions as the public door does, carries them on as `work` does, and fills an organization with rows of
every table that there is.
"""

from datetime import timedelta

from sqlalchemy import text

from control_silo.deletions.domain import Deletions
from control_silo.deletions.purging import Purger as ControlPurger
from control_silo.deletions.usecases import Deletion, delete, undelete
from control_silo.organizations.domain import Mapping
from region_silo.deletions import store as region_store
from region_silo.deletions.purging import Purger as RegionPurger
from shared.database import Database, Transaction
from shared.names import Key
from shared.rpc.call import Caller, acting
from tests.integration.callbacks.silos import Silos, rows
from tests.integration.provisioning.asking import PRINCIPAL, mutation, new_id

OPERATOR = Caller(PRINCIPAL, frozenset({"org:admin", "silo:operate"}))
ADMIN = Caller(PRINCIPAL, frozenset({"org:admin"}))
SETTINGS = Deletions()
AT_ONCE = Deletions(quarantine=timedelta())

# What a table's own checks want; everything else is made from the column's type.
_VALUES = {
    ("commit_file_change", "type"): "'A'",
    ("activity", "type"): "5",
    ("organization_member", "role"): "'member'",
    ("issue_link", "linked_type"): "1",
    ("issue_link", "relationship"): "1",
    ("commit_fetch", "state"): "'queued'",
}
_BY_TYPE = {
    "bigint": "(random() * 1e12)::bigint",
    "integer": "0",
    "smallint": "0",
    "boolean": "false",
    "text": "gen_random_uuid()::text",
    "jsonb": "'{}'",
    "uuid": "gen_random_uuid()",
    "bytea": "'\\x00'",
    "ARRAY": "'{}'",
    "timestamp with time zone": "CAST(:now AS timestamptz)",
    "double precision": "0",
    "date": "CAST(:now AS date)",
}


def ask_delete(
    silos: Silos,
    organization: Key,
    *,
    grace: timedelta | None = None,
    request_id: str | None = None,
    caller: Caller = OPERATOR,
) -> Mapping:
    """Delete, without delivering anything."""
    wish = Deletion(organization, grace)
    asked = mutation(request_id or new_id(), "delete", wish)
    with acting(caller, method="/test"):
        return silos.control.transact(lambda transaction: delete(transaction, asked, wish, SETTINGS))


def ask_undelete(
    silos: Silos, organization: Key, *, request_id: str | None = None, caller: Caller = OPERATOR
) -> Mapping:
    """Undelete, without delivering anything."""
    asked = mutation(request_id or new_id(), "undelete", organization)
    with acting(caller, method="/test"):
        return silos.control.transact(lambda transaction: undelete(transaction, asked, organization))


def carry_on(silos: Silos, settings: Deletions = SETTINGS, *, rounds_max: int = 20) -> None:
    """Run the loops of all silos, and deliver, until nothing goes on any more."""
    silos.drain()
    idle = 0
    for _ in range(rounds_max):
        went_on = ControlPurger(silos.control, settings).run_once()
        silos.drain()
        went_on += sum(RegionPurger(database).run_once() for database in silos.regions.values())
        silos.drain()
        idle = 0 if went_on else idle + 1
        if idle == 2:  # what was delivered last may let the first of them go on
            return
    raise AssertionError("the deletions do not come to an end")


def purged(silos: Silos, organization: Key, settings: Deletions = SETTINGS) -> None:
    """Delete without a grace time, and carry that through."""
    ask_delete(silos, organization, grace=timedelta())
    silos.drain()
    carry_on(silos, settings)


def purged_tables(database: Database) -> list[str]:
    return database.read(region_store.read_tables)


def fill(database: Database, organization_id: int, *, commits: int = 0) -> None:
    """A row in every table that a purge empties, besides what is there, and so many commits."""

    def work(transaction: Transaction) -> None:
        made: dict[str, object] = {"organization": organization_id}
        for table in reversed(region_store.read_tables(transaction)):
            made[table] = _insert(transaction, table, organization_id, made)
        transaction.execute(
            text(
                """
                INSERT INTO commit (organization_id, repository_id, key, date_added)
                SELECT :id, 1, 'commit ' || n, :now FROM generate_series(1, :commits) AS n
                """
            ),
            {"id": organization_id, "commits": commits, "now": transaction.now},
        )

    database.transact(work)


def left_in_region(database: Database, organization_id: int) -> dict[str, int]:
    """How many rows each table still has of the organization; those without any are left out."""
    counted = {
        table: rows(database, f'SELECT count(*) FROM "{table}" WHERE organization_id = :id', id=organization_id)[0][0]
        for table in purged_tables(database)
    }
    counted["organization"] = rows(database, "SELECT count(*) FROM organization WHERE id = :id", id=organization_id)[0][
        0
    ]
    return {table: int(str(count)) for table, count in counted.items() if count}


def left_in_control(silos: Silos, organization_id: int) -> dict[str, list[tuple[object, ...]]]:
    """What control still has of the organization."""
    found = {
        table: rows(silos.control, f"SELECT * FROM {table} WHERE organization_id = :id", id=organization_id)
        for table in ("organization_mapping", "slug_reservation", "token")
    }
    return {table: those for table, those in found.items() if those}


def _insert(transaction: Transaction, table: str, organization_id: int, made: dict[str, object]) -> object:
    columns = transaction.execute(
        text(
            """
            SELECT column_name, data_type FROM information_schema.columns
            WHERE table_name = :table AND table_schema = current_schema()
                AND (is_nullable = 'NO' OR column_name = 'organization_id')
                AND column_default IS NULL AND is_identity = 'NO'
            """
        ),
        {"table": table},
    ).all()
    parents = {
        row.column_name: row.parent
        for row in transaction.execute(
            text(
                """
                SELECT attribute.attname AS column_name, parent.relname AS parent FROM pg_constraint AS reference
                JOIN pg_class AS child ON child.oid = reference.conrelid
                JOIN pg_class AS parent ON parent.oid = reference.confrelid
                JOIN pg_attribute AS attribute
                    ON attribute.attrelid = child.oid AND attribute.attnum = ANY (reference.conkey)
                WHERE reference.contype = 'f' AND child.relname = :table
                """
            ),
            {"table": table},
        )
    }
    values: dict[str, str] = {}
    given: dict[str, object] = {"now": transaction.now}
    for name, kind in ((column.column_name, column.data_type) for column in columns):
        if name == "organization_id":
            values[name], given[name] = ":organization_id", organization_id
        elif name in parents:
            values[name], given[name] = f":{name}", made[parents[name]]
        else:
            values[name] = _VALUES.get((table, name), _BY_TYPE[kind])
    statement = f'INSERT INTO "{table}" ({", ".join(values)}) VALUES ({", ".join(values.values())})'
    returning = " RETURNING id" if "id" in values or _has_identity(transaction, table) else ""
    result = transaction.execute(text(statement + returning), given)
    return result.scalar_one() if returning else None


def _has_identity(transaction: Transaction, table: str) -> bool:
    statement = "SELECT 1 FROM information_schema.columns WHERE table_name = :table AND column_name = 'id'"
    return transaction.execute(text(statement), {"table": table}).first() is not None
