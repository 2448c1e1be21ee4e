"""Places for costly work: how much of a kind a process does at a time. Nobody waits for one; none free means try later.

Unlike a door's permits they are taken where the work begins, which for an answer of many messages is behind the call's.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import ResourceExhausted


class Places:
    """`count` places; `doing` says in a refusal what their holders do, `again_s` when to come again."""

    def __init__(self, count: int, *, doing: str, again_s: float) -> None:
        self._count = count
        self._doing = doing
        self._again_s = again_s
        self._in_use = 0
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """Places taken now."""
        return self._in_use

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have one inside. Raises ResourceExhausted when none is free."""
        self._take()
        try:
            yield
        finally:
            with self._lock:
                self._in_use -= 1

    def _take(self) -> None:
        with self._lock:
            if self._in_use < self._count:
                self._in_use += 1
                return
        raise ResourceExhausted(
            f"{self._count} {self._doing} already; try again later.",
            metadata={"limit": str(self._count)},
            retry_after_s=self._again_s,
        )
