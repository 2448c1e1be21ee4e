"""Plans: runs of the importer that write into a schema of their own, so that nobody else sees a row of them.

For each table that imports write, the schema has a table `<table>_planned` with the plan's rows and a view `<table>`
of these and the silo's own. A transaction that entered the schema reads the views, so the statements of an import
decide in it as they would in the silo; what they write goes to the planned tables alone. Ids come from the silo's own
sequences, so that no planned row is taken for one that is there. The ledger of a plan is the silo's ledger, under the
plan's id, with what has to be found unchanged when the plan is applied.
"""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import text

from shared.database import Transaction

SUFFIX = "_planned"
_PREFIX = "plan_"
_SCHEMAS = text(
    "SELECT nspname FROM pg_namespace WHERE nspname ~ '^plan_[0-9]{1,16}$' AND nspname > :after"
    " ORDER BY nspname LIMIT 100"
)
_EXISTS = text("SELECT to_regnamespace(:name) IS NOT NULL")


def schema_of(import_id: int) -> str:
    """The schema of a plan."""
    return f"{_PREFIX}{import_id}"


def enter(transaction: Transaction, import_id: int, tables: Sequence[str]) -> None:
    """Let the rest of the transaction see the silo as the plan leaves it; the first call makes the schema."""
    name = schema_of(import_id)
    if not transaction.execute(_EXISTS, {"name": name}).scalar_one():
        _make(transaction, name, tables)
    transaction.driver.execute(f"SET LOCAL search_path = {name}, public".encode(), prepare=False)


def look(transaction: Transaction, import_id: int) -> bool:
    """As `enter`, for reading; False when there is no such schema (any more)."""
    name = schema_of(import_id)
    if not transaction.execute(_EXISTS, {"name": name}).scalar_one():
        return False
    transaction.driver.execute(f"SET LOCAL search_path = {name}, public".encode(), prepare=False)
    return True


def drop(transaction: Transaction, import_id: int) -> bool:
    """Forget the rows of a plan; False when there were none."""
    name = schema_of(import_id)
    if not transaction.execute(_EXISTS, {"name": name}).scalar_one():
        return False
    transaction.execute(text(f"DROP SCHEMA {name} CASCADE"))
    return True


def plans_with_schema(transaction: Transaction, after: int = 0) -> list[int]:
    """Up to 100 ids of plans that have a schema, by the schema's name, from above that of `after`."""
    rows = transaction.execute(_SCHEMAS, {"after": schema_of(after) if after else ""}).scalars()
    return [int(name.removeprefix(_PREFIX)) for name in rows]


def _make(transaction: Transaction, name: str, tables: Sequence[str]) -> None:
    driver = transaction.driver
    driver.execute(f"CREATE SCHEMA {name}".encode())
    for table in tables:
        for statement in _statements(name, table):
            driver.execute(statement.encode(), prepare=False)


@cache
def _columns_with_ids(table: str) -> str:
    return f"pg_get_serial_sequence('public.{table}', 'id')"


def _statements(name: str, table: str) -> tuple[str, ...]:
    planned = f"{name}.{table}{SUFFIX}"
    return (
        f"CREATE TABLE {planned} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)",
        # An identity is not copied: planned rows get ids of the silo's own sequence.
        f"""
        DO $$ BEGIN
            IF {_columns_with_ids(table)} IS NOT NULL THEN
                EXECUTE format('ALTER TABLE {planned} ALTER COLUMN id SET DEFAULT nextval(%L)',
                    {_columns_with_ids(table)});
            END IF;
        END $$
        """,
        f"CREATE VIEW {name}.{table} AS SELECT * FROM public.{table} UNION ALL SELECT * FROM {planned}",
    )
