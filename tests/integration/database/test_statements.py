"""Hot statements on a real PostgreSQL: what they find and raise, and that nothing spoils a connection for them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import BigInteger, bindparam, column, select, table, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.statements import Statement
from tests.clock import FakeClock

pytestmark = pytest.mark.integration

ADD = Statement("INSERT INTO thing (name) VALUES (:name) ON CONFLICT ON CONSTRAINT thing_name_key DO NOTHING")
ADD_OR_FAIL = Statement("INSERT INTO thing (name) VALUES (:name)")
FIND = Statement("SELECT name AS found, CAST(:number AS bigint) AS number FROM thing WHERE name = :name")


@pytest.fixture
def things(empty_database: str, clock: FakeClock) -> Iterator[Database]:
    """A database of one connection with a table of names."""
    database = Database.open(empty_database, clock=clock, pool_size=1)
    database.transact(
        lambda transaction: transaction.execute(
            text("CREATE TABLE thing (name text, CONSTRAINT thing_name_key UNIQUE (name))")
        )
    )
    yield database
    database.close()


def find(transaction: Transaction, name: str) -> object:
    return transaction.one(FIND, {"name": name, "number": None})


def test_a_row_is_a_named_tuple_and_no_row_is_none(things: Database) -> None:
    assert things.transact(lambda transaction: transaction.run(ADD, {"name": "a%b"})) == 1
    assert things.transact(lambda transaction: transaction.run(ADD, {"name": "a%b"})) == 0
    found = things.ask(lambda transaction: transaction.one(FIND, {"name": "a%b", "number": 5_000_000_000}))
    assert (found.found, found.number) == ("a%b", 5_000_000_000)
    assert things.ask(lambda transaction: find(transaction, "a%b")) == ("a%b", None)
    assert things.ask(lambda transaction: find(transaction, "b")) is None


def test_a_statement_of_sqlalchemy_has_its_constants_and_lists_and_asks_for_the_rest(things: Database) -> None:
    thing = table("thing", column("name"))
    number = bindparam("number", type_=BigInteger)
    statement = Statement(select(thing.c.name, number.label("number")).where(thing.c.name.in_(["x", "y"])))
    things.transact(lambda transaction: transaction.run(ADD, {"name": "y"}))
    assert things.read(lambda transaction: transaction.one(statement, {"number": 7})) == ("y", 7)


def test_a_refused_row_is_told_by_its_constraint_and_the_connection_goes_on(things: Database) -> None:
    things.transact(lambda transaction: transaction.run(ADD_OR_FAIL, {"name": "a"}))
    for _ in range(3):
        with pytest.raises(IntegrityError) as refused:
            things.transact(lambda transaction: transaction.run(ADD_OR_FAIL, {"name": "a"}))
        assert constraint_name(refused.value) == "thing_name_key"
        assert things.ask(lambda transaction: find(transaction, "a")) == ("a", None)


def test_a_failed_question_leaves_the_statement_usable(things: Database) -> None:
    divide = Statement("SELECT 1 / CAST(:by AS int) AS answer")
    with pytest.raises(DBAPIError):
        things.ask(lambda transaction: transaction.one(divide, {"by": 0}))
    assert things.ask(lambda transaction: transaction.one(divide, {"by": 1})).answer == 1


def test_statements_that_the_server_has_forgotten_are_prepared_again(things: Database) -> None:
    def forget(transaction: Transaction) -> None:
        transaction.execute(text("DEALLOCATE ALL"))

    def add(transaction: Transaction) -> int:
        return transaction.run(ADD, {"name": "a"})

    things.transact(add)
    for use in (things.ask, things.read, things.transact):
        things.ask(lambda transaction: find(transaction, "a"))
        things.ask(forget)
        assert use(lambda transaction: find(transaction, "a")) == ("a", None)
    things.ask(forget)
    assert things.transact(add) == 0
    assert things.ask(lambda transaction: find(transaction, "a")) == ("a", None)
