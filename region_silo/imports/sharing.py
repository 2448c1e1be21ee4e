"""How an import shares the machine with others: a break after a batch while calls are made, and turns among imports.

While nobody else uses the database, a break is none. Otherwise the batches take `busy_share` of the time, so that calls
have the rest to themselves. Whether others work is told by the database's own count of transactions, for calls are
served by other processes, less those of this process: it delivers the outbox too, and tells of the members of the
import before. A turn ends after `turn_s` when an import of somebody else waits.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter
from sqlalchemy import text

from region_silo.imports import store
from shared.database import Database, Transaction
from shared.errors import ServiceError

BREAKS = Counter("siloway_import_breaks_seconds_total", "Seconds that imports left to others between batches.")

_COMMITS = text("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
_STEP_S = 0.5


@dataclass(frozen=True)
class ShareSettings:
    """`busy_share` of the time is for batches while others work, 1 for all of it; others work from
    `calls_per_second_min` transactions of other processes on, of which a silo alone makes a few. A break lasts at most
    `break_max_s`.
    """

    busy_share: float = 0.5
    calls_per_second_min: float = 25.0
    break_max_s: float = 2.0
    turn_s: float = 5.0
    measure_every_s: float = 1.0


class TurnOverError(Exception):
    """Another import's turn has come."""


class Turn:
    """One stretch of work on one import of `principal`, by several threads."""

    def __init__(
        self,
        database: Database,
        settings: ShareSettings,
        principal: str,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._principal = principal
        self._now = now
        self._wait = wait or threading.Event().wait
        self._ends_at = now() + settings.turn_s
        self._load = _Load(settings.calls_per_second_min)
        self._lock = threading.Lock()

    def after_batch(self, seconds: float, stopping: Callable[[], bool]) -> None:
        """Leave the machine to others for a while, for a batch took `seconds`. Raises TurnOverError."""
        with self._lock:
            takes_break = self._settings.busy_share < 1 and self._others_work()
        if takes_break:
            share = self._settings.busy_share
            self._take_break(min(seconds * (1 - share) / share, self._settings.break_max_s), stopping)
        if self._has_ended() and self._database.read(
            lambda transaction: store.others_wait(transaction, self._principal)
        ):
            raise TurnOverError

    def _has_ended(self) -> bool:
        """Whether it is time to look for others; told once, then again a turn later."""
        with self._lock:
            has_ended = self._now() >= self._ends_at
            if has_ended:
                self._ends_at = self._now() + self._settings.turn_s
        return has_ended

    def _others_work(self) -> bool:
        now = self._now()
        if now - self._load.measured_at >= self._settings.measure_every_s:
            try:
                self._load.measured(now, self._database.read(_commits) - self._database.own_transactions)
            except ServiceError:  # the next batch meets it, and knows what to do
                return False
        return self._load.is_high

    def _take_break(self, seconds: float, stopping: Callable[[], bool]) -> None:
        ends_at = self._now() + seconds
        while not stopping() and (left := ends_at - self._now()) > 0:
            self._wait(min(left, _STEP_S))
        BREAKS.inc(seconds)


class _Load:
    """Transactions of other processes a second, from counts of those until then.

    The database counts a session's transactions up to a second late, so what is high once may be our own of before: the
    load is high when it was so twice on end.
    """

    def __init__(self, high: float) -> None:
        self._high = high
        self._others: int | None = None
        self._was_high = False
        self.measured_at = float("-inf")
        self.is_high = False

    def measured(self, now: float, others: int) -> None:
        if self._others is not None:
            high = (others - self._others) / (now - self.measured_at) >= self._high
            self.is_high, self._was_high = high and self._was_high, high
        self._others, self.measured_at = others, now


def _commits(transaction: Transaction) -> int:
    return int(transaction.execute(_COMMITS).scalar_one())
