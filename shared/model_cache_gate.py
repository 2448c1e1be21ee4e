"""Closes a silo's model cache while a writer cannot reach Redis, by one row in PostgreSQL.

Every process looks at the row at most once a second. Closing it makes every cached object of before dead for ever (by
a new generation) and keeps everybody from Redis for a while (`closed_until`); `close` returns only when no process
can still act on what it knew before. So an outage that only one process sees cannot leave an old object in use
anywhere.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from shared.clock import Clock
from shared.database import Database, Transaction

KNOWLEDGE_S = 1.0
CHANGE_S_MAX = 60.0
_SKEW_S = 5.0
_CLOSED_S = CHANGE_S_MAX + 30.0

_LOOK = text("SELECT generation, closed_until FROM model_cache_gate WHERE id = 1")
_CLOSE = text(
    """
    INSERT INTO model_cache_gate AS gate (id, generation, closed_until) VALUES (1, 1, :until)
    ON CONFLICT ON CONSTRAINT model_cache_gate_pkey DO UPDATE
       SET generation = gate.generation + 1, closed_until = GREATEST(gate.closed_until, excluded.closed_until)
    RETURNING closed_until
    """
)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Knowledge:
    asked_at_s: float
    generation: int
    closed_until: datetime


class CacheGate:
    """The gate of one silo as one process sees it; shared by all its caches. Thread-safe.

    `knowledge_s` must be the same in all processes of a silo; tests make it short.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        knowledge_s: float = KNOWLEDGE_S,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._clock = clock
        self._knowledge_s = knowledge_s
        self._pause = pause
        self._knowledge: _Knowledge | None = None
        self._looking = threading.Lock()
        self._closing = threading.Lock()
        self._closed_until = _NEVER

    def generation(self) -> int | None:
        """The generation whose objects may be used and filled now; None while the cache is closed.

        Also None, at once, while another thread looks: nobody queues behind a slow SELECT. Raises what Database.read
        does.
        """
        known = self._knowledge
        if known is None or self._clock.monotonic() - known.asked_at_s >= self._knowledge_s:
            if not self._looking.acquire(blocking=False):
                return None
            try:
                known = self._look()
            finally:
                self._looking.release()
        return None if self._clock.now() < known.closed_until else known.generation

    def is_held(self) -> bool:
        """Whether this process closed the gate and it stays closed for longer than any change may last."""
        return self._closed_until - self._clock.now() >= timedelta(seconds=CHANGE_S_MAX + _SKEW_S)

    def close(self) -> None:
        """Close the gate for longer than any change may last, or do nothing when this process holds it closed.

        Waits `knowledge_s` when the gate may have been open until now. Raises what Database.transact does.
        """
        with self._closing:
            if self.is_held():
                return
            was_closed = self._closed_until - self._clock.now() > timedelta(seconds=_SKEW_S + self._knowledge_s)
            closed_until = self._database.transact(_close)
            self._knowledge = None
            if not was_closed:
                self._pause(self._knowledge_s)
            self._closed_until = closed_until

    def _look(self) -> _Knowledge:
        asked_at_s = self._clock.monotonic()
        row = self._database.read(lambda transaction: transaction.execute(_LOOK).one_or_none())
        generation, closed_until = (0, _NEVER) if row is None else (row.generation, row.closed_until)
        self._knowledge = _Knowledge(asked_at_s, generation, closed_until)
        return self._knowledge


def _close(transaction: Transaction) -> datetime:
    until = transaction.now + timedelta(seconds=_CLOSED_S)
    closed_until: datetime = transaction.execute(_CLOSE, {"until": until}).scalar_one()
    return closed_until
