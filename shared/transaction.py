"""One open transaction, as work sees it.

A statement whose answer nobody needs at once waits, and goes with the next one or with COMMIT: so a short transaction
takes two or three trips to the server in place of one a statement. BEGIN is the first that waits. What waits reaches
the server in the order in which it was asked for, and before whatever else goes over the connection.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

import psycopg
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, CursorResult, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable

from shared.connections import Connections
from shared.database_errors import is_lost
from shared.outbox.domain import OutboxNote
from shared.statements import Asked, Driver, Kept, Statement, driver_of, together

_CANCEL_MAX_S = 5.0
_KEPT_KEY = "siloway_statements"
_COMMIT = b"COMMIT"
_DO_NOT_WAIT = b"SET LOCAL synchronous_commit = off"


class Transaction:
    """One open transaction, as handed to work. `now` is the clock's time when it began.

    `begin` are the commands that open it; without them every statement is by itself.
    """

    def __init__(
        self, connections: Connections, pooled: PoolProxiedConnection, now: datetime, begin: bytes = b""
    ) -> None:
        self.now = now
        self.pooled = pooled
        self.actions: list[Callable[[], None]] = []
        self._connections = connections
        self._connection: Connection | None = None
        self._kept = kept_by(pooled)
        self._waiting: list[bytes | Asked] = [begin] if begin else []
        self._has_begun = not begin
        self._notes: dict[OutboxNote | int, OutboxNote] = {}
        self._waits_for_disk = True

    @property
    def driver(self) -> Driver:
        """Psycopg's connection, for COPY; to be asked for anew behind `later`."""
        self.send()
        return driver_of(self.pooled)

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's own connection, made when something needs it; to be asked for anew behind `later`."""
        self.send()
        if self._connection is None:
            self._connection = Connection(self._connections.engine, self.pooled)
        return self._connection

    @property
    def notes(self) -> list[OutboxNote]:
        """The outbox messages noted so far."""
        return list(self._notes.values())

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """As Connection.execute. For COPY there is `driver`."""
        return cast("CursorResult[Any]", self.connection.execute(statement, parameters))

    def one(self, statement: Statement, values: Mapping[str, object]) -> Any:
        """The one row that a hot statement finds, as a named tuple of its columns; None without one."""
        if not self._waiting:
            return statement.one(driver_of(self.pooled), self._kept, values)
        return statement.row_of(self._send_with((statement, values)), self._kept)

    def run(self, statement: Statement, values: Mapping[str, object]) -> int:
        """Execute a hot statement; how many rows it found or changed."""
        if not self._waiting:
            return statement.run(driver_of(self.pooled), self._kept, values)
        return self._send_with((statement, values)).command_tuples or 0

    def later(self, statement: Statement, values: Mapping[str, object]) -> None:
        """Execute a hot statement with the next one, or with COMMIT. Its errors are raised there."""
        self._waiting.append((statement, values))

    def send(self) -> None:
        """Execute what waits. Raises DBAPIError."""
        if self._waiting:
            self._send_with()

    def commit(self) -> None:
        """Make it last. Raises DBAPIError; of a connection that is lost: then the outcome is unknown."""
        if not self._waits_for_disk and not self._notes:
            self._waiting.append(_DO_NOT_WAIT)
        self._send_with(_COMMIT)

    def note(self, message: OutboxNote) -> None:
        """Keep an outbox message until just before COMMIT; a LATEST one of the same subject is kept once."""
        key = message if message.payload is None else len(self._notes)
        self._notes.setdefault(key, message)

    def commit_without_waiting(self) -> None:
        """Let COMMIT return before the disk has it: only for what a crash of the database may lose, being done again.

        A transaction with messages waits all the same. They are sent as soon as they are seen: when one is lost behind
        that, its sequence is another one's, which the receiver takes for a repeat.
        """
        self._waits_for_disk = False

    def cancel(self) -> None:
        """From another thread: have the server end the statement that runs. Nothing when none does, or it cannot be
        asked.
        """
        with suppress(psycopg.Error):
            driver_of(self.pooled).cancel_safe(timeout=_CANCEL_MAX_S)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run `action` once COMMIT has succeeded, outside the transaction; its errors are logged and go no further."""
        self.actions.append(action)

    def begin(self) -> None:
        """Send BEGIN if nothing has been asked so far."""
        if not self._has_begun:
            self.send()

    def _send_with(self, *last: bytes | Asked) -> PGresult:
        """Execute what waits and `last`; the result of the last of them.

        BEGIN takes a second, new connection when the first is dead: a restarted server leaves the pool full of those.
        """
        batch, self._waiting = [*self._waiting, *last], []
        had_begun, self._has_begun = self._has_begun, True
        try:
            return together(driver_of(self.pooled), self._kept, batch)
        except DBAPIError as exc:
            if had_begun or not is_lost(exc):
                raise
        self.pooled = self._connections.replace(self.pooled)
        self._kept = kept_by(self.pooled)
        return together(driver_of(self.pooled), self._kept, batch)


def kept_by(pooled: PoolProxiedConnection) -> Kept:
    """What the connection has prepared; it goes with the connection."""
    kept: Kept = pooled.info.setdefault(_KEPT_KEY, {})
    return kept
