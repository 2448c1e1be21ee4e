"""Noticing that a database was restored from a backup, and keeping its silo closed until it is in step again.

A restored database has forgotten what it has sent and received since the backup. So it gets a new epoch, which the
other silos refuse, and its silo answers nobody but doctor until `end` has opened it. A database that was loaded into
another place (a dump) is noticed by itself when a program opens it; one that was restored in its own place is told by
`restored`, run while the silo's programs are stopped.
"""

import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import text

from shared import audit, errors
from shared.clock import Clock
from shared.database import Database, Transaction

LOOK_S = 1.0
_LOOK_AGAIN_S = 0.05
_log = structlog.get_logger("siloway.restoration")

_MAY_SEE_SERVER = text("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")
_SERVER = text("SELECT system_identifier::text FROM pg_control_system()")
_DATABASE = text("SELECT oid::text FROM pg_database WHERE datname = current_database()")
_LOCK = text("SELECT place, restored_at FROM silo_identity FOR UPDATE")
_READ = text("SELECT place, restored_at FROM silo_identity")
_SET_PLACE = text("UPDATE silo_identity SET place = :place")
_RENEW = text("UPDATE silo_identity SET epoch = CAST(:epoch AS uuid), restored_at = :now")
_END = text("UPDATE silo_identity SET restored_at = NULL")
_READ_RESTORED = text("SELECT restored_at FROM silo_identity")
_FREE_LEASES = text("UPDATE outbox_lease SET token = NULL, lease_until = NULL, attempts = 0, available_at = :now")
_OTHERS = text(
    """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND starts_with(application_name, 'siloway')
        AND application_name <> 'siloway-restored'
    """
)


def check_place(database: Database) -> bool:
    """Whether the database was loaded into another place since a program opened it last; then the silo is closed.

    Every program asks before it opens a door or starts its work; the first one to see it renews the epoch.
    """

    def work(transaction: Transaction) -> bool:
        place = _place(transaction)
        if transaction.execute(_READ).one().place == place:
            return False
        known = transaction.execute(_LOCK).one().place
        if known is not None and _is_same(known, place):
            return False
        transaction.execute(_SET_PLACE, {"place": place})
        if known is None:
            return False
        _renew(transaction, f"from {known} to {place}")
        return True

    return database.transact(work)


def restored(database: Database, *, wait_s: float = 5.0) -> str:
    """Close the silo under a new epoch, which is returned.

    Raises FailedPrecondition when its programs still run after `wait_s`: the server notices a moment late that one
    has ended.
    """

    def work(transaction: Transaction) -> str:
        transaction.execute(_LOCK)
        if transaction.execute(_OTHERS).scalar_one():
            raise errors.FailedPrecondition("programs of this silo still use the database: stop them first")
        transaction.execute(_SET_PLACE, {"place": _place(transaction)})
        return _renew(transaction, "an operator said so")

    ends_at = time.monotonic() + wait_s
    while True:
        try:
            return database.transact(work)
        except errors.FailedPrecondition:
            if time.monotonic() >= ends_at:
                raise
        time.sleep(_LOOK_AGAIN_S)


def end(transaction: Transaction) -> None:
    """Open the silo again."""
    transaction.execute(_END)


def restored_at(transaction: Transaction) -> datetime | None:
    """Since when the silo is closed; None while it is open."""
    found: datetime | None = transaction.execute(_READ_RESTORED).scalar_one()
    return found


class Restoration:
    """Whether the silo is closed, as one process knows it: believed for a second, and while somebody looks again.

    Thread-safe; no call waits for another one's look but before the first.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._looked_at_s: float | None = None

    def is_closed(self) -> bool:
        """Raises StoreUnreachable."""
        looked_at_s = self._looked_at_s
        if looked_at_s is not None and self._clock.monotonic() - looked_at_s < LOOK_S:
            return self._closed
        if self._lock.acquire(blocking=looked_at_s is None):
            try:
                now_s = self._clock.monotonic()
                self._closed = self._database.ask(restored_at) is not None
                self._looked_at_s = now_s
            finally:
                self._lock.release()
        return self._closed

    def refuse(self) -> None:
        """Raise SiloRestored while the silo is closed."""
        if self.is_closed():
            raise errors.SiloRestored(retry_after_s=10)

    def open_loop(self, loop: Callable[[threading.Event], None]) -> Callable[[threading.Event], None]:
        """The loop, which begins once the silo is open."""

        def run(stop: threading.Event) -> None:
            while not stop.is_set() and self._waits():
                stop.wait(LOOK_S)
            if not stop.is_set():
                loop(stop)

        return run

    def _waits(self) -> bool:
        try:
            return self.is_closed()
        except errors.ServiceError as error:
            _log.warning("restoration_unreadable", reason=error.reason)
            return True


def _place(transaction: Transaction) -> str:
    """Server and database; a server that keeps its identifier to itself is an empty text."""
    may_see = transaction.execute(_MAY_SEE_SERVER).scalar_one()
    server = transaction.execute(_SERVER).scalar_one() if may_see else ""
    return f"{server}/{transaction.execute(_DATABASE).scalar_one()}"


def _is_same(known: str, place: str) -> bool:
    """A server that is not told may be any: nobody closes a silo by taking a privilege away."""
    (one, database), (other, other_database) = known.split("/"), place.split("/")
    return database == other_database and (one == other or "" in {one, other})


def _renew(transaction: Transaction, why: str) -> str:
    epoch = str(uuid.uuid4())
    transaction.execute(_RENEW, {"epoch": epoch, "now": transaction.now})
    transaction.execute(_FREE_LEASES, {"now": transaction.now})
    audit.record(transaction, action="silo.restored", target="silo", detail={"why": why, "epoch": epoch})
    transaction.after_commit(lambda: _log.error("silo_restored", why=why))
    return epoch
