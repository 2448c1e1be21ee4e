"""Statements that wait go with what is asked next, in order, inside the transaction, and with the values they had."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.outbox import Category, Mode, enqueue
from shared.statements import Statement
from tests.clock import FakeClock
from tests.integration.database.test_transactions import kill_all_sessions

pytestmark = pytest.mark.integration

WORD = Category("word", Mode.EVERY)
ADD = Statement("INSERT INTO thing (name, body, n) VALUES (:name, :body, :n)")
RENAME = Statement("UPDATE thing SET name = name || CAST(:end AS text)")
FIND = Statement("SELECT name, body, n FROM thing WHERE name = :name")
NAMES = text("SELECT name FROM thing ORDER BY name")


@pytest.fixture
def things(control_database_url: str, clock: FakeClock) -> Iterator[Database]:
    """A database of one connection with a table."""
    database = Database.open(control_database_url, clock=clock, pool_size=1)
    table = "CREATE TABLE thing (name text CONSTRAINT thing_name_key UNIQUE, body bytea, n bigint)"
    database.transact(lambda transaction: transaction.execute(text(table)))
    yield database
    database.close()


def add_later(transaction: Transaction, name: str, body: bytes | None = None, n: int | None = None) -> None:
    transaction.later(ADD, {"name": name, "body": body, "n": n})


def names(database: Database) -> list[str]:
    return list(database.read(lambda transaction: transaction.execute(NAMES).scalars().all()))


def test_what_waits_is_done_before_what_is_asked_behind_it(things: Database) -> None:
    def work(transaction: Transaction) -> None:
        add_later(transaction, "a")
        transaction.later(RENAME, {"end": "b"})
        assert transaction.one(FIND, {"name": "ab"}) is not None
        add_later(transaction, "c")
        assert transaction.run(RENAME, {"end": "!"}) == 2
        add_later(transaction, "d")
        assert transaction.execute(NAMES).scalars().all() == ["ab!", "c!", "d"]
        add_later(transaction, "e")
        assert transaction.driver.execute("SELECT count(*) FROM thing").fetchall() == [(4,)]
        add_later(transaction, "f")
        enqueue(transaction, target="us", aggregate="a", category=WORD, subject="s")

    things.transact(work)
    assert names(things) == ["ab!", "c!", "d", "e", "f"]
    sequence = text("SELECT sequence FROM outbox_message")
    assert things.read(lambda transaction: transaction.execute(sequence).scalar_one()) == 1


@pytest.mark.parametrize("size", [1, 300_000], ids=["short", "long"])
def test_values_arrive_as_they_are(things: Database, size: int) -> None:
    name = "it's \"one\" \\' $1 :name %s; ROLLBACK; -- ä€𝄞\n"
    body = bytes(range(256)) * size
    things.transact(lambda transaction: add_later(transaction, name, body[:size], -5_000_000_000))
    assert things.read(lambda transaction: transaction.one(FIND, {"name": name})) == (name, body[:size], -5_000_000_000)
    things.transact(lambda transaction: add_later(transaction, "nothing"))
    assert things.read(lambda transaction: transaction.one(FIND, {"name": "nothing"})) == ("nothing", None, None)


@pytest.mark.parametrize("size", [1, 300_000], ids=["short", "long"])
def test_a_violation_is_told_with_what_is_asked_next_and_leaves_nothing(things: Database, size: int) -> None:
    def ask_next(transaction: Transaction) -> None:
        add_later(transaction, "a", b"x" * size)
        add_later(transaction, "a")
        transaction.one(FIND, {"name": "a"})

    def ask_nothing(transaction: Transaction) -> None:
        add_later(transaction, "a", b"x" * size)
        add_later(transaction, "a")

    for work in (ask_next, ask_nothing):
        with pytest.raises(IntegrityError) as refused:
            things.transact(work)
        assert constraint_name(refused.value) == "thing_name_key"
        assert "xxx" not in str(refused.value)
        assert names(things) == []


def test_a_refusal_drops_what_waits(things: Database) -> None:
    def work(transaction: Transaction) -> None:
        add_later(transaction, "a")
        raise KeyError

    with pytest.raises(KeyError):
        things.transact(work)
    assert names(things) == []


def test_what_waits_goes_over_a_new_connection_when_the_pool_holds_a_dead_one(things: Database) -> None:
    def work(transaction: Transaction) -> None:
        add_later(transaction, "a")
        transaction.run(RENAME, {"end": "!"})

    kill_all_sessions(things)
    things.transact(work)
    kill_all_sessions(things)
    things.transact(lambda transaction: add_later(transaction, "b"))
    assert names(things) == ["a!", "b"]


def test_waiting_statements_that_the_server_has_forgotten_are_prepared_again(things: Database) -> None:
    things.transact(lambda transaction: add_later(transaction, "a"))
    things.ask(lambda transaction: transaction.execute(text("DEALLOCATE ALL")))
    things.transact(lambda transaction: add_later(transaction, "b"))
    assert names(things) == ["a", "b"]


def test_what_waits_in_a_read_is_refused_as_a_write(things: Database) -> None:
    def work(transaction: Transaction) -> None:
        transaction.one(FIND, {"name": "a"})
        add_later(transaction, "a")

    with pytest.raises(DBAPIError, match="read-only"):
        things.read(work)


def test_a_connection_in_use_while_the_pool_is_closed_is_not_kept(things: Database) -> None:
    backend = text("SELECT pg_backend_pid()")

    def work(transaction: Transaction) -> int:
        found: int = transaction.execute(backend).scalar_one()
        things.close()
        return found

    before = things.read(work)
    assert things.read(lambda transaction: transaction.execute(backend).scalar_one()) != before
