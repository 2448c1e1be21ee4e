"""When the line breaks at COMMIT the caller does not know; the request record does."""

import threading
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from sqlalchemy import text

from shared import errors
from shared.database import Database, Transaction
from shared.requests import Mutation, RequestState, find, fingerprint, once
from tests.clock import FakeClock
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.faults]

_HOLD_COMMIT = """
    CREATE TABLE thing (name text);
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION hold();
"""


@pytest.fixture
def proxy(control_database_url: str) -> Iterator[TcpProxy]:
    parts = urlsplit(control_database_url)
    assert parts.port, "the test's server listens on TCP"
    made = TcpProxy(parts.port, target_host=parts.hostname or "127.0.0.1")
    yield made
    made.close()


def through(proxy: TcpProxy, url: str) -> str:
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@{proxy.address}"))


def test_a_line_cut_at_commit_is_unknown_and_the_repeat_gets_the_first_answer(
    control_database_url: str, proxy: TcpProxy, clock: FakeClock
) -> None:
    direct = Database.open(control_database_url, clock=clock)
    cut = Database.open(through(proxy, control_database_url), clock=clock)
    mutation = Mutation("tokens/1", str(uuid.uuid4()), "/siloway.Test/Create", fingerprint("a"))

    def create(transaction: Transaction, answer: str) -> str:
        def work() -> str:
            transaction.execute(text("INSERT INTO thing VALUES ('a')"))
            return answer

        return once(transaction, mutation, str, work)

    caught: list[Exception] = []

    def first_call() -> None:
        try:
            cut.transact(lambda transaction: create(transaction, "first"))
        except errors.ServiceError as exc:
            caught.append(exc)

    with psycopg.connect(control_database_url, autocommit=True) as holder:
        holder.execute(_HOLD_COMMIT)
        holder.execute("SELECT pg_advisory_lock(77)")
        thread = threading.Thread(target=first_call)
        thread.start()
        wait_for_a_blocked_session(direct)
        proxy.cut()
        thread.join(20)
        assert [type(exc) for exc in caught] == [errors.OutcomeUnknown]
        assert direct.read(lambda t: find(t, mutation.principal, mutation.request_id)) is None, "in the middle"
        holder.execute("SELECT pg_advisory_unlock(77)")
    assert direct.transact(lambda transaction: create(transaction, "second")) == "first"
    record = direct.read(lambda t: find(t, mutation.principal, mutation.request_id))
    assert record is not None
    assert record.state is RequestState.SUCCEEDED
    assert direct.read(lambda t: t.execute(text("SELECT count(*) FROM thing")).scalar_one()) == 1
    proxy.mend()
    assert cut.read(lambda t: t.execute(text("SELECT count(*) FROM thing")).scalar_one()) == 1
    cut.close()
    direct.close()
