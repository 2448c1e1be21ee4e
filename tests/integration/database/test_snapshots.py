"""A snapshot sees one moment, writes to its own temporary tables alone, and ends with them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.database import Database, Transaction
from tests.clock import FakeClock

pytestmark = pytest.mark.integration

_TEMPORARY = "CREATE TEMPORARY TABLE memory (id int8) ON COMMIT DROP"


def _count(transaction: Transaction, table: str) -> int:
    return int(transaction.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.fixture
def filled(empty_database: str, clock: FakeClock) -> Iterator[Database]:
    database = Database.open(empty_database, clock=clock)
    for statement in ("CREATE TABLE thing (id int8)", "INSERT INTO thing VALUES (1)"):
        _run(database, statement)
    yield database
    database.close()


def _run(database: Database, statement: str) -> None:
    database.transact(lambda transaction: transaction.execute(text(statement)))


def test_what_is_committed_meanwhile_is_not_seen(filled: Database) -> None:
    with filled.snapshot(idle_s=10) as transaction:
        assert _count(transaction, "thing") == 1
        _run(filled, "INSERT INTO thing VALUES (2)")
        assert _count(transaction, "thing") == 1
    with filled.snapshot(idle_s=10) as transaction:
        assert _count(transaction, "thing") == 2


def test_it_writes_to_its_temporary_tables_and_to_nothing_else(filled: Database) -> None:
    with filled.snapshot(_TEMPORARY, idle_s=10) as transaction:
        transaction.execute(text("INSERT INTO memory VALUES (1), (2)"))
        assert _count(transaction, "memory") == 2
        with pytest.raises(DBAPIError):
            transaction.execute(text("INSERT INTO thing VALUES (3)"))
    with filled.snapshot(_TEMPORARY, idle_s=10) as transaction:
        assert _count(transaction, "memory") == 0


def test_an_error_inside_ends_it_and_the_connection_is_used_again(filled: Database) -> None:
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), filled.snapshot(_TEMPORARY, idle_s=10):
            raise ZeroDivisionError
    assert filled.read(lambda transaction: _count(transaction, "thing")) == 1
