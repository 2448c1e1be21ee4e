"""The only way to a silo's PostgreSQL: whole transactions, run as functions, every limit set from the call's deadline.

`work` does SQL only and can be run again: conflicts (40001, 40P01) are retried here. Outbox messages are written as the
last step before COMMIT, so that shard rows stay locked for a moment only. A connection lost at COMMIT is told apart
from one lost before it: only the first leaves the outcome unknown. Driver texts end here; callers see shared.errors or
an IntegrityError.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import msgspec
import structlog
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from shared import barrier, deadline, errors
from shared.clock import Clock
from shared.connections import Connections, uses_of
from shared.database_errors import CONFLICTS, is_lost, refusal_of, sqlstate, translated
from shared.outbox import metrics as outbox_metrics
from shared.outbox.domain import CHANNEL as OUTBOX_CHANNEL
from shared.outbox.notes import write_notes
from shared.statements import FORGOTTEN, command, driver_of
from shared.transaction import Transaction

__all__ = ["Database", "Transaction", "driver_url"]

T = TypeVar("T")

_log = structlog.get_logger("siloway.database")

_TRIES = 4
_STATEMENT_TIMEOUT_MAX_S = 30.0
_SNAPSHOT_STATEMENT_S = 300.0
_POOL_WAIT_MAX_S = 10.0
_TELLING_MAX_MS = 1000
# A prepared statement whose objects are others now: what the connection has prepared is not to be used again.
_SPOILED = ("0A", "XX")
_LIMIT_KEY = "siloway_statement_timeout_ms"
_BEGIN_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_BEGIN_READ = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
_BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"
_LIMIT_STEPS_MS = (250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)


class Database:
    """A silo's database: a bounded pool and the ways to run a transaction on it. Safe to share among threads."""

    def __init__(self, engine: Engine, *, clock: Clock, pool_size: int, statement_timeout_s: float) -> None:
        self.engine = engine
        self._connections = Connections(engine)
        self.clock = clock
        self.wake: Callable[[str], None] | None = None
        self._permits = threading.BoundedSemaphore(pool_size)
        self._statement_timeout_s = statement_timeout_s

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Clock,
        pool_size: int = 8,
        application_name: str = "siloway",
        statement_timeout_s: float = _STATEMENT_TIMEOUT_MAX_S,
    ) -> "Database":
        """A pool of at most `pool_size` connections to postgresql://...; connects when first used.

        No statement runs longer than `statement_timeout_s`, nor than the deadline of the call that it serves.
        """
        engine = create_engine(
            driver_url(url),
            isolation_level="AUTOCOMMIT",  # BEGIN is ours: it carries the limits in the same round trip
            pool_size=pool_size,
            max_overflow=0,
            use_native_hstore=False,  # nothing is one, and its type would be looked up for every pool
            pool_reset_on_return=None,  # Connections leaves no transaction open
            json_deserializer=msgspec.json.decode,  # payloads of messages are read by the thousand
            connect_args={
                "application_name": application_name,
                "connect_timeout": 5,
                # A host that is gone without a word is noticed within half a minute.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
                "options": "-c TimeZone=UTC -c idle_in_transaction_session_timeout=60000"
                # A statement outside a transaction is a question; those that write say READ WRITE.
                " -c default_transaction_read_only=on",
            },
        )
        return cls(engine, clock=clock, pool_size=pool_size, statement_timeout_s=statement_timeout_s)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a READ COMMITTED transaction and commit; returns what it returns.

        Raises whatever `work` raises (everything is rolled back then), and OutcomeUnknown, StoreUnreachable,
        DeadlineExceeded, Aborted (a lock timeout, or conflicts that three retries did not end), ResourceExhausted (no
        free connection in time), IntegrityError.
        """
        for attempt in range(1, _TRIES):
            try:
                return self._transact_once(work)
            except errors.Aborted as exc:
                if sqlstate(exc.__cause__) not in CONFLICTS:
                    raise
            _pause(attempt)
        return self._transact_once(work)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a READ ONLY transaction. Raises as transact, but the outcome is never unknown."""
        try:
            return self._read_once(work)
        except errors.Aborted as exc:
            if sqlstate(exc.__cause__) != FORGOTTEN:
                raise
            return self._read_once(work)

    @contextmanager
    def snapshot(self, *prepare: str, idle_s: float) -> Iterator[Transaction]:
        """A REPEATABLE READ transaction: all of its statements see one moment. `prepare` makes temporary tables, the
        only thing that it may write to. It is for long readings: a statement may take minutes, and the server ends it
        when nothing was asked for `idle_s`. Raises as `read`.
        """
        with translated(), self._opened(_BEGIN_SNAPSHOT) as transaction:
            limits = (
                f"SET LOCAL statement_timeout = {int(_SNAPSHOT_STATEMENT_S * 1000)}",
                f"SET LOCAL idle_in_transaction_session_timeout = {int(idle_s * 1000)}",
            )
            statements = (*prepare, *limits, "SET TRANSACTION READ ONLY")
            transaction.driver.execute("; ".join(statements).encode(), prepare=False)
            yield transaction
            assert not transaction.notes, "a message was noted in a snapshot"

    def ask(self, work: Callable[[Transaction], T]) -> T:
        """As `read`, for work of one statement: nothing is sent before it and after it. Raises as `read`.

        The server's time limit for it is the next one of a few steps above the time left, for setting it takes a round
        trip of its own. Work runs a second time when it met a connection that the server had closed.
        """
        try:
            return self._ask_once(work)
        except errors.StoreUnreachable:
            self._connections.close()
            return self._ask_once(work)

    @property
    def own_transactions(self) -> int:
        """About how many transactions this process has begun on the database so far, over this pool and others."""
        return uses_of(self.engine.url)

    def close(self) -> None:
        """Close the connections that nobody uses; the others close when they are given back."""
        self._connections.close()

    def _read_once(self, work: Callable[[Transaction], T]) -> T:
        with translated(), self._opened(_BEGIN_READ) as transaction:
            answer = work(transaction)
            transaction.send()  # who asks nothing still learns whether the database answers
            assert not transaction.notes, "a message was noted in a read"
            return answer

    def _ask_once(self, work: Callable[[Transaction], T]) -> T:
        with self._permit(), translated():
            pooled = self._connections.take()
            try:
                limit_ms = _step_ms(self._limit_s())
                if pooled.info.get(_LIMIT_KEY) != limit_ms:
                    pooled.info[_LIMIT_KEY] = None
                    command(driver_of(pooled), f"SET statement_timeout = {limit_ms}".encode())
                    pooled.info[_LIMIT_KEY] = limit_ms
                transaction = Transaction(self._connections, pooled, self.clock.now())
                answer = work(transaction)
                assert not transaction.notes, "a message was noted in a read"
                return answer
            finally:
                self._connections.give_back(pooled)

    def _transact_once(self, work: Callable[[Transaction], T]) -> T:
        with self._opened(_BEGIN_WRITE) as transaction:
            with translated():
                answer = work(transaction)
                if transaction.notes:
                    write_notes(transaction, transaction.notes)
                transaction.begin()  # COMMIT never goes with BEGIN: a dead connection would leave its outcome unknown
                if barrier.is_armed():
                    transaction.send()
                barrier.reach("before_commit")
                deadline.check()
            _commit(transaction)
        self._after_commit(transaction)
        return answer

    def _limit_s(self) -> float:
        left_s = deadline.remaining_s()
        return self._statement_timeout_s if left_s is None else min(left_s, self._statement_timeout_s)

    @contextmanager
    def _opened(self, begin: str) -> Iterator[Transaction]:
        """A new transaction; one left open is rolled back at the end, and a lost connection is not kept."""
        with self._permit():
            with translated():
                pooled = self._connections.take()
            opening = f"{begin}; {self._limits()}".encode()
            transaction = Transaction(self._connections, pooled, self.clock.now(), opening)
            try:
                yield transaction
            except DBAPIError as exc:
                if (sqlstate(exc) or "").startswith(_SPOILED) and transaction.pooled.is_valid:
                    transaction.pooled.invalidate()
                raise
            finally:
                self._connections.give_back(transaction.pooled)

    def _limits(self) -> str:
        limit_ms = max(1, int(self._limit_s() * 1000))
        # A lock that is not had in time is a conflict, not a slow statement: it runs out first, and in time to be told.
        lock_ms = max(1, limit_ms - min(limit_ms // 4, _TELLING_MAX_MS))
        return f"SET LOCAL statement_timeout = {limit_ms}; SET LOCAL lock_timeout = {lock_ms}"

    @contextmanager
    def _permit(self) -> Iterator[None]:
        """The right to one connection of the pool."""
        deadline.check()
        left_s = deadline.remaining_s()
        wait_s = _POOL_WAIT_MAX_S if left_s is None else min(left_s, _POOL_WAIT_MAX_S)
        if not self._permits.acquire(timeout=wait_s):
            deadline.check()
            raise errors.ResourceExhausted("all database connections are busy", retry_after_s=1)
        try:
            yield
        finally:
            self._permits.release()

    def _after_commit(self, transaction: Transaction) -> None:
        actions, wake = transaction.actions, self.wake
        if notes := transaction.notes:
            for (target, category), count in Counter((note.target, note.category) for note in notes).items():
                outbox_metrics.SAVED.labels(target, category).inc(count)
            if wake is not None:
                actions = [*actions, partial(wake, OUTBOX_CHANNEL)]
        for action in actions:
            try:
                action()
            except Exception:  # noqa: BLE001 - the transaction is committed: its caller must hear success
                _log.exception("after_commit_failed")


def driver_url(url: str) -> str:
    """The URL with SQLAlchemy's name of our driver, password included."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _commit(transaction: Transaction) -> None:
    # COMMIT of a failed transaction rolls back, and says so only in its tag.
    status = driver_of(transaction.pooled).pgconn.transaction_status
    assert status != TransactionStatus.INERROR, "work swallowed a database error"
    try:
        transaction.commit()
    except DBAPIError as exc:
        refusal = errors.OutcomeUnknown(retry_after_s=1) if is_lost(exc) else refusal_of(exc)
        if refusal is None:
            raise
        raise refusal from exc


def _step_ms(limit_s: float) -> int:
    """The first step that is not below the limit, or the limit itself above all steps."""
    limit_ms = max(1, int(limit_s * 1000))
    return next((step for step in _LIMIT_STEPS_MS if step >= limit_ms), int(_STATEMENT_TIMEOUT_MAX_S * 1000))


def _pause(attempt: int) -> None:
    wait_s = random.uniform(0.0, 0.02 * 2**attempt)  # noqa: S311 - jitter, not a secret
    left_s = deadline.remaining_s()
    if left_s is not None and left_s <= wait_s:
        raise errors.DeadlineExceeded
    time.sleep(wait_s)
