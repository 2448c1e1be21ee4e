"""Gives out snowflake ids to the threads of one process, from ranges that PostgreSQL leases to it.

No id is ever given out twice: a range comes from a mark that only rises, and is forgotten after a second or when the
clock goes back. The mark may run ahead of the clock by 5 s, a burst; beyond it every call is refused in constant
time, without asking PostgreSQL, since the last mark seen is a lower bound of the mark. Ids are taken before the
caller's transaction opens.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from shared import deadline, errors
from shared.clock import Clock
from shared.database import Database
from shared.snowflake import store
from shared.snowflake.domain import LAYOUT_2, Layout, SegmentOutOfRangeError

AHEAD_S = 5
RANGE_USE_S = 1.0
# Two processes read their clocks at different instants: a mark this much beyond the burst still means "all given out".
_READING_SKEW_S = 1
_BLOCK_FIRST = 32
_BLOCKS_A_SECOND = 8  # so that a few processes can hold a range each without using up a second's ids unused


@dataclass
class _Range:
    start: int
    end: int
    monotonic_s: float
    leased_at: datetime
    process_id: int


class SnowflakeAllocator:
    """Ids of one silo's number in one layout. Thread-safe; `database` is its own, with a pool of one connection.

    Raises SegmentOutOfRangeError when the number does not fit the layout: 0 to 31 in layout 2, 0 to 4095 in layout 1.
    """

    def __init__(self, database: Database, *, clock: Clock, number: int, layout: Layout = LAYOUT_2) -> None:
        layout.encode(0, number, 0)
        self._database = database
        self._clock = clock
        self._number = number
        self._layout = layout
        self._lock = threading.Lock()
        self._range: _Range | None = None
        self._mark = 0
        self._block_max = max(1, layout.per_second // _BLOCKS_A_SECOND)
        self._block_first = min(_BLOCK_FIRST, max(1, self._block_max // 2))
        self._block = self._block_first

    @classmethod
    def open(cls, database_url: str, *, clock: Clock, number: int, layout: Layout = LAYOUT_2) -> Self:
        """An allocator with a connection of its own, which `close` gives back."""
        database = Database.open(database_url, clock=clock, pool_size=1, application_name="siloway-ids")
        return cls(database, clock=clock, number=number, layout=layout)

    def close(self) -> None:
        """Close the connection; what is left of the range is lost."""
        self._database.close()

    @property
    def count_max(self) -> int:
        """The most ids that one `take` can ever get: the whole burst, 163,840 in layout 2 and 80 in layout 1."""
        return AHEAD_S * self._layout.per_second

    def take(self, count: int = 1) -> list[int]:
        """Give out `count` new ids, ascending.

        Raises InvalidArgument (count below 1 or above count_max), IdsExhausted and ClockBehind (both with the time
        after which to try again), StoreUnreachable, DeadlineExceeded. A refused call takes nothing.
        """
        if not 1 <= count <= self.count_max:
            raise errors.InvalidArgument.of("count", f"must be 1 to {self.count_max}")
        with self._turn():
            spans = self._reserve(count)
        ids: list[int] = []
        for start, end in spans:
            ids += self._encode(start, end)
        return ids

    @contextmanager
    def _turn(self) -> Iterator[None]:
        left_s = deadline.remaining_s()
        if not self._lock.acquire(timeout=-1 if left_s is None else left_s):
            raise errors.DeadlineExceeded
        try:
            yield
        finally:
            self._lock.release()

    def _encode(self, start: int, end: int) -> list[int]:
        try:
            return self._layout.encode_positions(start, end, self._number)
        except SegmentOutOfRangeError as exc:
            raise errors.IdsExhausted(f"layout {self._layout.number} has no seconds left") from exc

    def _reserve(self, count: int) -> list[tuple[int, int]]:
        """Positions for the caller: what the range still holds, then a new lease. Changes the range only on success."""
        held = self._held()
        available = held.end - held.start if held else 0
        if held and count <= available:
            held.start += count
            return [(held.start - count, held.start)]
        if held and not available:
            self._block = min(self._block * 2, self._block_max)
        elif self._range is not None and held is None:
            self._block = max(self._block // 2, self._block_first)
        rest = count - available
        leased = self._lease(rest)
        spans = [(held.start, held.end)] if held and available else []
        spans.append((leased.start, leased.start + rest))
        leased.start += rest
        self._range = leased
        return spans

    def _held(self) -> _Range | None:
        """The range, unless it is too old, the clock went back behind its lease, or a fork copied it."""
        held = self._range
        if held is None or held.process_id != os.getpid():
            return None
        age_s = self._clock.monotonic() - held.monotonic_s
        if not 0 <= age_s <= RANGE_USE_S or self._clock.now() < held.leased_at:
            return None
        return held

    def _lease(self, needed: int) -> _Range:
        now, monotonic_s = self._clock.now(), self._clock.monotonic()
        floor = max(0, self._layout.floor(now))
        ceiling = self._layout.floor(now) + AHEAD_S * self._layout.per_second
        if max(floor, self._mark) + needed > ceiling:
            raise self._refusal(now, needed)
        wish = store.LeaseWish(
            layout=self._layout.number,
            number=self._number,
            floor=floor,
            ceiling=ceiling,
            needed=needed,
            wanted=max(needed, self._block),
        )
        found = self._ask(wish)
        if isinstance(found, store.Full):
            self._mark = max(self._mark, found.mark)
            raise self._refusal(now, needed)
        self._mark = max(self._mark, found.end)
        return _Range(found.start, found.end, monotonic_s, now, os.getpid())

    def _ask(self, wish: store.LeaseWish) -> store.Lease | store.Full:
        """One lease; once more on a fresh connection when the server went away. A lease in doubt is lost."""
        try:
            return self._database.transact(lambda transaction: store.lease(transaction, wish))
        except errors.Unavailable:
            deadline.check()
        try:
            return self._database.transact(lambda transaction: store.lease(transaction, wish))
        except errors.OutcomeUnknown as exc:
            raise errors.StoreUnreachable(retry_after_s=exc.retry_after_s) from exc

    def _refusal(self, now: datetime, needed: int) -> errors.ServiceError:
        per_second = self._layout.per_second
        mark = max(self._mark, 0)
        fits_at_s = -(-(mark + needed) // per_second) - AHEAD_S
        epoch = datetime.fromtimestamp(self._layout.epoch_s, now.tzinfo)
        wait_s = max(0.001, (epoch + timedelta(seconds=fits_at_s) - now).total_seconds())
        if mark > self._layout.floor(now) + (AHEAD_S + _READING_SKEW_S) * per_second:
            return errors.ClockBehind(retry_after_s=wait_s)
        return errors.IdsExhausted(retry_after_s=wait_s)
