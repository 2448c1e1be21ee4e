"""A mutating request takes effect once, whatever its caller repeats."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text

from shared import deadline, errors
from shared.cleaner import Cleaner, Task
from shared.database import Database, Transaction
from shared.requests import Mutation, RequestState, StoredError, cleaner, find, fingerprint, finish, once, start
from tests.clock import FakeClock
from tests.integration.database.sessions import wait_for_a_blocked_session

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Made:
    name: str
    made_at: datetime
    numbers: tuple[int, ...]


@pytest.fixture
def database(control_database_url: str, clock: FakeClock) -> Iterator[Database]:
    with psycopg.connect(control_database_url) as connection:
        connection.execute("CREATE TABLE thing (name text)")
    opened = Database.open(control_database_url, clock=clock)
    yield opened
    opened.close()


def a_mutation(*parts: object, method: str = "/siloway.Test/Create", request_id: str = "") -> Mutation:
    return Mutation("tokens/1", request_id or str(uuid.uuid4()), method, fingerprint(*parts))


def create(transaction: Transaction, mutation: Mutation, name: str) -> Made:
    def work() -> Made:
        transaction.execute(text("INSERT INTO thing (name) VALUES (:name)"), {"name": name})
        return Made(name, transaction.now, (1, 2))

    return once(transaction, mutation, Made, work, resource=lambda made: f"things/{made.name}")


def things(database: Database) -> list[str]:
    return list(database.read(lambda t: t.execute(text("SELECT name FROM thing ORDER BY name")).scalars().all()))


def test_a_repeat_returns_the_first_answer_and_has_no_second_effect(database: Database, clock: FakeClock) -> None:
    mutation = a_mutation("a")
    first = database.transact(lambda t: create(t, mutation, "a"))
    clock.advance(60)
    repeated = database.transact(lambda t: create(t, mutation, "a"))
    assert repeated == first
    assert things(database) == ["a"]


def test_a_repeat_that_comes_meanwhile_waits_and_returns_the_first_answer(database: Database) -> None:
    mutation = a_mutation("a")
    inserted, go_on = threading.Event(), threading.Event()
    answers: dict[str, Made] = {}

    def slow(transaction: Transaction) -> Made:
        made = create(transaction, mutation, "a")
        inserted.set()
        assert go_on.wait(10)
        return made

    first = threading.Thread(target=lambda: answers.update(first=database.transact(slow)))
    first.start()
    assert inserted.wait(10)
    second = threading.Thread(
        target=lambda: answers.update(second=database.transact(lambda t: create(t, mutation, "a")))
    )
    second.start()
    wait_for_a_blocked_session(database)
    assert "second" not in answers
    go_on.set()
    first.join(10)
    second.join(10)
    assert answers["first"] == answers["second"]
    assert things(database) == ["a"]


def test_a_request_of_several_steps_waits_for_the_key_of_a_request_of_one_step(database: Database) -> None:
    mutation = a_mutation("a")

    def holding(transaction: Transaction) -> None:
        create(transaction, mutation, "a")
        with deadline.within(0.3), pytest.raises((errors.DeadlineExceeded, errors.Aborted)):
            database.transact(lambda t: start(t, mutation, "imports/1"))

    database.transact(holding)
    assert not database.transact(lambda t: start(t, mutation, "imports/1")).first


def test_a_repeat_waits_no_longer_than_its_deadline(database: Database) -> None:
    mutation = a_mutation("a")

    def holding(transaction: Transaction) -> None:
        create(transaction, mutation, "a")
        with deadline.within(0.3), pytest.raises((errors.DeadlineExceeded, errors.Aborted)):
            database.transact(lambda t: create(t, mutation, "a"))

    database.transact(holding)


def test_the_same_id_with_another_request_or_method_is_refused(database: Database) -> None:
    mutation = a_mutation("a")
    database.transact(lambda t: create(t, mutation, "a"))
    for other in (
        a_mutation("b", request_id=mutation.request_id),
        a_mutation("a", request_id=mutation.request_id, method="/siloway.Test/Update"),
    ):
        with pytest.raises(errors.RequestIdReused) as refusal:
            database.transact(lambda t, other=other: create(t, other, "b"))  # type: ignore[misc]
        assert refusal.value.metadata["request_id"] == mutation.request_id
    assert things(database) == ["a"]


def test_another_principal_may_use_the_same_id(database: Database) -> None:
    mutation = a_mutation("a")
    other = Mutation("tokens/2", mutation.request_id, mutation.method, mutation.fingerprint)
    database.transact(lambda t: create(t, mutation, "a"))
    database.transact(lambda t: create(t, other, "a"))
    assert things(database) == ["a", "a"]
    assert database.read(lambda t: find(t, "tokens/3", mutation.request_id)) is None


def test_a_refusal_is_not_recorded_and_leaves_nothing(database: Database) -> None:
    mutation = a_mutation("a")

    def refused(transaction: Transaction) -> Made:
        create(transaction, mutation, "a")
        raise errors.ProjectExists

    with pytest.raises(errors.ProjectExists):
        database.transact(refused)
    assert database.read(lambda t: find(t, mutation.principal, mutation.request_id)) is None
    assert things(database) == []
    assert database.transact(lambda t: create(t, mutation, "a")).name == "a"


def test_the_record_tells_its_state_and_resource(database: Database, clock: FakeClock) -> None:
    mutation = a_mutation("a")
    database.transact(lambda t: create(t, mutation, "a"))
    record = database.read(lambda t: find(t, mutation.principal, mutation.request_id))
    assert record is not None
    assert (record.state, record.resource, record.method) == (RequestState.SUCCEEDED, "things/a", mutation.method)
    assert record.created_at == clock.now()


def test_a_request_of_several_steps_answers_its_resource_to_every_repeat(database: Database, clock: FakeClock) -> None:
    mutation = a_mutation("a")
    assert database.transact(lambda t: start(t, mutation, "imports/1")).first
    clock.advance(5)
    repeated = database.transact(lambda t: start(t, mutation, "imports/2"))
    assert (repeated.resource, repeated.first) == ("imports/1", False)
    failure = StoredError.of(errors.SpoolMissing(metadata={"path": "x"}))
    database.transact(lambda t: finish(t, mutation.key, error=failure))
    database.transact(lambda t: finish(t, mutation.key, error=None))
    record = database.read(lambda t: find(t, mutation.principal, mutation.request_id))
    assert record is not None
    assert (record.state, record.error, record.updated_at) == (RequestState.FAILED, failure, clock.now())
    assert database.transact(lambda t: start(t, mutation, "imports/3")).resource == "imports/1"


def test_the_cleaner_deletes_old_closed_records_only(database: Database, clock: FakeClock) -> None:
    old, running, young = a_mutation("old"), a_mutation("running"), a_mutation("young")
    database.transact(lambda t: create(t, old, "old"))
    database.transact(lambda t: start(t, running, "imports/1"))
    clock.advance(timedelta(days=31).total_seconds())
    database.transact(lambda t: create(t, young, "young"))
    task = Task("request_record", timedelta(days=30), cleaner.clean, cleaner.oldest)
    assert Cleaner(database, [task]).clean_once() == {"request_record": 1}
    left = [
        mutation
        for mutation in (old, running, young)
        if database.read(lambda t, m=mutation: find(t, m.principal, m.request_id))  # type: ignore[misc]
    ]
    assert left == [running, young]
