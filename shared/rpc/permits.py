"""Permits: how many calls of each budget run at one time. Taking one never waits; none free means try later."""

import threading
from collections.abc import Mapping
from typing import Final

from shared.errors import ResourceExhausted
from shared.rpc import metrics
from shared.rpc.methods import Budget, Door

DEFAULT_BUDGETS: Final[Mapping[Budget, int]] = {Budget.CALLS: 24, Budget.STREAMS: 8, Budget.PEERS: 8}
_RETRY_AFTER_S = 0.1


class Permits:
    """One budget's permits."""

    def __init__(self, door: Door, budget: Budget, limit: int) -> None:
        self._budget = budget
        self._limit = limit
        self._in_use = 0
        self._lock = threading.Lock()
        self._gauge = metrics.PERMITS.labels(door.value, budget.value)
        self._refused = metrics.REFUSED.labels(door.value, budget.value)

    @property
    def in_use(self) -> int:
        """Permits taken now."""
        return self._in_use

    def take(self) -> None:
        """Take one. Raises ResourceExhausted when none is free."""
        with self._lock:
            if self._in_use < self._limit:
                self._in_use += 1
                self._gauge.inc()
                return
        self._refused.inc()
        raise ResourceExhausted(
            f"All {self._limit} permits for {self._budget.value} are taken; try again later.",
            metadata={"budget": self._budget.value, "limit": str(self._limit)},
            retry_after_s=_RETRY_AFTER_S,
        )

    def give_back(self) -> None:
        """Give a taken one back."""
        with self._lock:
            self._in_use -= 1
            self._gauge.dec()
