"""A question is one statement by itself: within its time, without a change, whatever became of its connection."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from shared import deadline, errors
from shared.database import Database, Transaction
from tests.clock import FakeClock
from tests.integration.database.test_transactions import kill_all_sessions

pytestmark = pytest.mark.integration

_SLEEP = text("SELECT pg_sleep(20)")
_BACKEND = text("SELECT pg_backend_pid()")


@pytest.fixture
def database(empty_database: str, clock: FakeClock) -> Iterator[Database]:
    opened = Database.open(empty_database, clock=clock, pool_size=1)
    yield opened
    opened.close()


def ask(database: Database, statement: str) -> object:
    return database.ask(lambda transaction: transaction.execute(text(statement)).scalar_one())


def test_a_question_has_no_transaction_around_it(database: Database) -> None:
    assert ask(database, "SELECT pg_current_xact_id_if_assigned()") is None
    first, second = (ask(database, "SELECT now()") for _ in range(2))
    assert first != second


def test_a_question_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only"):
        database.ask(lambda transaction: transaction.execute(text("CREATE TABLE thing ()")))
    database.transact(lambda transaction: transaction.execute(text("CREATE TABLE thing ()")))
    assert ask(database, "SELECT count(*) FROM thing") == 0


def test_a_question_ends_soon_after_the_deadline_of_its_call(database: Database) -> None:
    with deadline.within(0.2), pytest.raises(errors.DeadlineExceeded):
        database.ask(lambda transaction: transaction.execute(_SLEEP))


def test_the_limit_of_one_question_is_not_the_limit_of_the_next(database: Database) -> None:
    with deadline.within(0.2):
        assert ask(database, "SHOW statement_timeout") == "250ms"
    assert ask(database, "SHOW statement_timeout") == "30s"
    with deadline.within(3):
        assert ask(database, "SHOW statement_timeout") == "4s"


def test_a_transaction_after_a_question_has_its_own_limit(database: Database) -> None:
    with deadline.within(0.2):
        ask(database, "SELECT 1")
    with deadline.within(10):
        shown = database.read(lambda transaction: transaction.execute(text("SHOW statement_timeout")).scalar_one())
    assert shown not in {"250ms", "0"}


def test_a_question_over_a_connection_that_died_is_asked_again(database: Database) -> None:
    before = ask(database, "SELECT pg_backend_pid()")
    kill_all_sessions(database)
    assert ask(database, "SELECT pg_backend_pid()") != before


def test_a_question_that_loses_two_connections_is_unreachable(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        transaction.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(errors.StoreUnreachable):
        database.ask(work)
    assert ask(database, "SELECT 1") == 1


def test_a_refused_question_leaves_its_connection_usable(database: Database) -> None:
    before = database.ask(lambda transaction: transaction.execute(_BACKEND).scalar_one())
    with pytest.raises(ProgrammingError, match="does not exist"):
        ask(database, "SELECT nothing")
    assert database.ask(lambda transaction: transaction.execute(_BACKEND).scalar_one()) == before
