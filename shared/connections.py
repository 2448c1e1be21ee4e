"""A silo's connections to PostgreSQL between two uses: opened by SQLAlchemy, kept here.

They stay checked out of SQLAlchemy's pool, whose way in and out costs more than a statement. Whoever takes one holds a
permit of Database, of which there are as many as connections; so another one is opened only while there are fewer.
"""

import time
from collections import Counter

import psycopg
import structlog
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.engine import URL

from shared.statements import command, driver_of

_log = structlog.get_logger("siloway.database")

_AGE_MAX_S = 1800.0
_OPENED_KEY = "siloway_opened"


_uses: Counter[str] = Counter()


def uses_of(url: URL) -> int:
    """How often this process has taken a connection to that database, from whatever pool: about as often as it has
    begun a transaction there.
    """
    return _uses[_place(url)]


def _place(url: URL) -> str:
    return f"{url.host}:{url.port}/{url.database}"


class Connections:
    """What is open and not in use; the one that was given back last is taken first. Safe to share among threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._place = _place(engine.url)
        self._idle: list[PoolProxiedConnection] = []
        self._closings = 0

    def take(self) -> PoolProxiedConnection:
        """A connection without a transaction, perhaps a dead one. Raises DBAPIError when none can be opened."""
        _uses[self._place] += 1
        while self._idle:
            try:
                pooled = self._idle.pop()
            except IndexError:  # another thread has it
                break
            if self._is_good(pooled):
                return pooled
            pooled.invalidate()
        closings, opened_at_s = self._closings, time.monotonic()
        pooled = self.engine.raw_connection()
        pooled.info[_OPENED_KEY] = closings, opened_at_s
        return pooled

    def give_back(self, pooled: PoolProxiedConnection) -> None:
        """Roll back what is open, and keep the connection unless it is lost."""
        if not pooled.is_valid:
            return  # SQLAlchemy met an error that ended it, and has dropped it already
        driver = driver_of(pooled)
        try:
            if driver.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                command(driver, b"ROLLBACK")  # the driver's own would make it forget all that is prepared
        except psycopg.Error:
            _log.info("rollback_failed")
        if driver.pgconn.transaction_status == TransactionStatus.IDLE and self._is_good(pooled):  # closed: UNKNOWN
            self._idle.append(pooled)
        else:
            pooled.invalidate()

    def replace(self, dead: PoolProxiedConnection) -> PoolProxiedConnection:
        """A new connection for one that is dead; those that wait are dropped with it. Raises as `take`."""
        self.give_back(dead)
        self.close()
        return self.take()

    def close(self) -> None:
        """Close the connections that nobody uses; the others close when they are given back."""
        self._closings += 1
        idle, self._idle = self._idle, []
        for pooled in idle:
            pooled.invalidate()
        self.engine.dispose()

    def _is_good(self, pooled: PoolProxiedConnection) -> bool:
        """Whether it is to be used again."""
        closings, opened_at_s = pooled.info[_OPENED_KEY]
        return bool(closings == self._closings and time.monotonic() - opened_at_s < _AGE_MAX_S)
