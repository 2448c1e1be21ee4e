"""A transaction happens whole, within its time, and says truly what became of it."""

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared import barrier, deadline, errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.outbox import Category, Mode, enqueue
from shared.outbox.domain import CHANNEL
from tests.clock import FakeClock
from tests.integration.database.sessions import wait_for_a_blocked_session

pytestmark = pytest.mark.integration

WORD = Category("word", Mode.EVERY)
NOTE = Category("note", Mode.LATEST)


@pytest.fixture
def database(control_database_url: str, clock: FakeClock) -> Iterator[Database]:
    with psycopg.connect(control_database_url) as connection:
        connection.execute("CREATE TABLE thing (name text CONSTRAINT thing_name_key UNIQUE, n int NOT NULL DEFAULT 0)")
        connection.execute("INSERT INTO thing (name) VALUES ('a'), ('b')")
    opened = Database.open(control_database_url, clock=clock)
    yield opened
    opened.close()


def add(transaction: Transaction, name: str) -> None:
    transaction.execute(text("INSERT INTO thing (name) VALUES (:name)"), {"name": name})


def names(database: Database) -> list[str]:
    return list(database.read(lambda t: t.execute(text("SELECT name FROM thing ORDER BY name")).scalars().all()))


def raise_sqlstate(transaction: Transaction, state: str) -> None:
    transaction.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '{state}'; END $$"))


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_conflict_is_run_again_as_a_new_transaction(database: Database, state: str) -> None:
    tries: list[int] = []

    def work(transaction: Transaction) -> str:
        tries.append(len(tries))
        add(transaction, "c")
        enqueue(transaction, target="us", aggregate="a", category=WORD, subject="s")
        if len(tries) < 4:
            raise_sqlstate(transaction, state)
        return "done"

    assert database.transact(work) == "done"
    assert len(tries) == 4
    assert names(database) == ["a", "b", "c"]
    assert outbox(database) == [("us", "a", 1)]


def test_a_conflict_that_does_not_end_is_aborted_after_three_retries(database: Database) -> None:
    tries: list[int] = []

    def work(transaction: Transaction) -> None:
        tries.append(1)
        raise_sqlstate(transaction, "40001")

    with pytest.raises(errors.Aborted) as refusal:
        database.transact(work)
    assert refusal.value.retry_after_s
    assert "made up" not in refusal.value.message
    assert len(tries) == 4


def test_a_real_deadlock_ends_with_both_done(database: Database) -> None:
    both = threading.Barrier(2)
    first_tries: set[str] = set()

    def swap(one: str, other: str) -> None:
        def work(transaction: Transaction) -> None:
            update = text("UPDATE thing SET n = n + 1 WHERE name = :name")
            transaction.execute(update, {"name": one})
            if one not in first_tries:
                first_tries.add(one)
                both.wait(20)
            transaction.execute(update, {"name": other})

        database.transact(work)

    threads = [threading.Thread(target=swap, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    counts = database.read(lambda t: t.execute(text("SELECT n FROM thing")).scalars().all())
    assert list(counts) == [2, 2]


def test_a_refusal_rolls_everything_back_messages_included(database: Database) -> None:
    woken: list[str] = []
    database.wake = woken.append

    def work(transaction: Transaction) -> None:
        add(transaction, "c")
        enqueue(transaction, target="us", aggregate="a", category=WORD, subject="s")
        transaction.after_commit(lambda: woken.append("action"))
        raise errors.ProjectExists

    with pytest.raises(errors.ProjectExists):
        database.transact(work)
    assert (names(database), outbox(database), woken) == (["a", "b"], [], [])


def test_a_refused_message_rolls_the_transaction_back(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        add(transaction, "c")
        enqueue(transaction, target="us", aggregate="a", category=WORD, subject="s", payload={"nul": "\0"})

    with pytest.raises(Exception, match="unsupported Unicode"):
        database.transact(work)
    assert (names(database), outbox(database)) == (["a", "b"], [])


def test_messages_take_their_sequences_at_the_end_sorted_by_shard(database: Database) -> None:
    woken: list[str] = []
    database.wake = woken.append

    def work(transaction: Transaction) -> None:
        for aggregate in ("z", "a", "z"):
            enqueue(transaction, target="us", aggregate=aggregate, category=WORD, subject="s")
        for _ in range(2):
            enqueue(transaction, target="de", aggregate="a", category=NOTE, subject="s")
        assert transaction.execute(text("SELECT count(*) FROM outbox_shard")).scalar_one() == 0

    database.transact(work)
    assert outbox(database) == [("de", "a", 1), ("us", "a", 1), ("us", "z", 1), ("us", "z", 2)]
    assert woken == [CHANNEL]


def test_thousands_of_messages_are_written_as_few_are(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        for number in range(1200):
            payload: dict[str, object] = {"n": number, "text": 'ä"\\\n\t'}
            enqueue(transaction, target="us", aggregate=f"s{number % 3}", category=WORD, subject="s", payload=payload)
            enqueue(transaction, target="us", aggregate="notes", category=NOTE, subject=str(number))

    database.transact(work)
    rows = database.read(
        lambda t: t.execute(text("SELECT aggregate, sequence, payload FROM outbox_message ORDER BY id")).all()
    )
    assert len(rows) == 2400
    for shard in range(3):
        found = [(row.sequence, row.payload) for row in rows if row.aggregate == f"s{shard}"]
        assert found == [(n + 1, {"n": n * 3 + shard, "text": 'ä"\\\n\t'}) for n in range(400)]
    assert all(row.payload is None for row in rows if row.aggregate == "notes")


def test_a_statement_ends_with_the_deadline_of_its_call(database: Database) -> None:
    with deadline.within(0.2), pytest.raises(errors.DeadlineExceeded):
        database.transact(lambda t: t.execute(text("SELECT pg_sleep(20)")))


def test_nothing_is_committed_after_the_deadline(database: Database) -> None:
    pause = threading.Event()

    def work(transaction: Transaction) -> None:
        add(transaction, "c")
        pause.wait(0.2)

    with deadline.within(0.1), pytest.raises(errors.DeadlineExceeded):
        database.transact(work)
    assert names(database) == ["a", "b"]


def test_a_lock_that_is_not_had_in_time_is_a_conflict(database: Database) -> None:
    def hold(transaction: Transaction) -> None:
        transaction.execute(text("UPDATE thing SET n = 1 WHERE name = 'a'"))
        with deadline.within(0.5), pytest.raises(errors.Aborted):
            database.transact(lambda t: t.execute(text("UPDATE thing SET n = 2 WHERE name = 'a'")))

    database.transact(hold)


def test_a_violation_is_known_by_its_constraint(database: Database) -> None:
    with pytest.raises(IntegrityError) as violation:
        database.transact(lambda t: add(t, "a"))
    assert constraint_name(violation.value) == "thing_name_key"


def test_a_violation_in_a_savepoint_leaves_the_rest(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        add(transaction, "c")
        with pytest.raises(IntegrityError), transaction.connection.begin_nested():
            add(transaction, "a")
        add(transaction, "d")

    database.transact(work)
    assert names(database) == ["a", "b", "c", "d"]


def test_a_swallowed_database_error_is_not_taken_for_a_commit(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        add(transaction, "c")
        with pytest.raises(IntegrityError):
            add(transaction, "a")

    with pytest.raises(AssertionError, match="swallowed"):
        database.transact(work)
    assert names(database) == ["a", "b"]


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match="read-only transaction"):
        database.read(lambda t: add(t, "c"))


def test_a_failing_action_after_commit_fails_nobody(database: Database) -> None:
    done: list[str] = []

    def work(transaction: Transaction) -> str:
        add(transaction, "c")
        transaction.after_commit(lambda: 1 // 0)  # type: ignore[arg-type]
        transaction.after_commit(lambda: done.append("second"))
        return "committed"

    assert database.transact(work) == "committed"
    assert (names(database), done) == (["a", "b", "c"], ["second"])


def test_a_pool_that_is_used_up_says_so_within_the_deadline(control_database_url: str, clock: FakeClock) -> None:
    database = Database.open(control_database_url, clock=clock, pool_size=1)

    def hold(transaction: Transaction) -> None:
        with deadline.within(0.1), pytest.raises(errors.DeadlineExceeded):
            database.read(lambda t: None)

    database.read(hold)
    database.close()


def test_connections_that_died_in_the_pool_are_replaced(database: Database) -> None:
    names(database)
    kill_all_sessions(database)
    assert names(database) == ["a", "b"]


def test_a_connection_lost_before_commit_is_no_unknown_outcome(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        add(transaction, "c")
        kill_all_sessions(database)
        add(transaction, "d")

    with pytest.raises(errors.StoreUnreachable):
        database.transact(work)
    assert names(database) == ["a", "b"]


def test_a_connection_lost_at_commit_is_an_unknown_outcome(database: Database) -> None:
    """A deferred trigger holds COMMIT up until the test has killed its backend."""
    with psycopg.connect(url_of(database), autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " PERFORM pg_advisory_xact_lock(77); RETURN NULL; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION hold()"
        )
        connection.execute("SELECT pg_advisory_lock(77)")
        caught: list[Exception] = []

        def commit() -> None:
            try:
                database.transact(lambda t: add(t, "c"))
            except errors.ServiceError as exc:
                caught.append(exc)

        thread = threading.Thread(target=commit)
        thread.start()
        wait_for_a_blocked_session(database)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query = 'COMMIT' AND wait_event_type = 'Lock'"
        )
        thread.join(20)
    [error] = caught
    assert isinstance(error, errors.OutcomeUnknown)
    assert error.retry_after_s


def test_a_server_that_is_not_there_is_unreachable(clock: FakeClock) -> None:
    database = Database.open("postgresql://nobody:secret@127.0.0.1:1/none", clock=clock)
    with pytest.raises(errors.StoreUnreachable) as refusal:
        database.read(lambda t: None)
    assert "secret" not in str(refusal.value)
    database.close()


def test_the_last_step_can_be_stopped_at(database: Database) -> None:
    seen: list[list[str]] = []
    with barrier.registered("before_commit", lambda times: seen.append(names(database))):
        database.transact(lambda t: add(t, "c"))
    assert seen == [["a", "b"]]


def outbox(database: Database) -> list[tuple[str, str, int]]:
    query = text("SELECT target, aggregate, sequence FROM outbox_message ORDER BY target, aggregate, sequence")
    return [(row.target, row.aggregate, row.sequence) for row in database.read(lambda t: t.execute(query).all())]


def url_of(database: Database) -> str:
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    assert urlsplit(url).scheme == "postgresql"
    return url


def kill_all_sessions(database: Database) -> None:
    with psycopg.connect(url_of(database), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def test_a_wait_for_a_lock_ends_early_enough_to_be_told(database: Database) -> None:
    def hold(holder: Transaction) -> float | None:
        holder.execute(text("SELECT FROM thing FOR UPDATE"))
        with deadline.within(1.0):
            with pytest.raises(errors.Aborted):
                database.transact(lambda transaction: transaction.execute(text("UPDATE thing SET n = 1")))
            return deadline.remaining_s()

    assert (database.transact(hold) or 0) > 0.1


def test_only_a_commit_without_messages_can_go_without_waiting_for_the_disk(database: Database) -> None:
    """A drainer may send a message as soon as it is seen: one that is lost then leaves its number to another."""

    def write(name: str, *, waits: bool, tells: bool) -> None:
        def work(transaction: Transaction) -> None:
            add(transaction, name)
            if not waits:
                transaction.commit_without_waiting()
            if tells:
                enqueue(transaction, target="us", aggregate="a", category=WORD, subject=name)

        database.transact(work)

    told = """
        CREATE TABLE committed (name text, how text);
        CREATE FUNCTION tell_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO committed VALUES (NEW.name, current_setting('synchronous_commit'));
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION tell_commit();
        DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET synchronous_commit = on', current_database());
        END $$
    """
    database.transact(lambda transaction: transaction.driver.execute(told))
    database.close()  # new sessions have the new setting
    write("c", waits=True, tells=False)
    write("d", waits=False, tells=False)
    write("e", waits=False, tells=True)
    write("f", waits=True, tells=False)
    rows = database.read(lambda transaction: transaction.execute(text("SELECT name, how FROM committed")).all())
    assert dict(map(tuple, rows)) == {"c": "on", "d": "off", "e": "on", "f": "on"}
