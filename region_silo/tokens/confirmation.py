"""Whether the replica of tokens is to be believed: control must have confirmed it not too long ago.

Confirmations only get newer, so what was read once is a floor: the row is read again only when that floor is too old,
and then at most once a second.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from region_silo.tokens import store
from shared import delivery
from shared.clock import Clock
from shared.database import Database, Transaction
from shared.errors import TokenUnconfirmed
from shared.outbox.domain import Message

LOOK_S = 1.0
_RETRY_S = 10.0
"""Control confirms this often."""


def apply_confirmations(transaction: Transaction, messages: Sequence[Message]) -> None:
    """The outbox's handler: keep the newest confirmation."""
    for message in messages:
        confirmed = delivery.decode(message.payload, delivery.Confirmation)
        store.write_confirmation(transaction, confirmed.confirmed_at)


class Confirmation:
    """The newest confirmation as one process knows it; `max_s` is how old it may be, 0 for any age. Thread-safe."""

    def __init__(self, database: Database, clock: Clock, max_s: float) -> None:
        self._database = database
        self._clock = clock
        self._max_s = max_s
        self._lock = threading.Lock()
        self._confirmed_at: datetime | None = None
        self._looked_at_s: float | None = None

    def check(self) -> None:
        """Raise TokenUnconfirmed when control's last confirmation is too old, StoreUnreachable."""
        if not self.is_fresh():
            since = "never" if self._confirmed_at is None else self._confirmed_at.isoformat()
            raise TokenUnconfirmed(metadata={"confirmed_at": since}, retry_after_s=_RETRY_S)

    def is_fresh(self) -> bool:
        """Whether tokens are to be believed. Raises StoreUnreachable."""
        if self._max_s == 0 or self._is_recent():
            return True
        with self._lock:
            now_s = self._clock.monotonic()
            if self._looked_at_s is None or now_s - self._looked_at_s >= LOOK_S:
                self._confirmed_at = self._database.read(store.read_confirmation)
                self._looked_at_s = now_s
        return self._is_recent()

    def _is_recent(self) -> bool:
        confirmed_at = self._confirmed_at
        return confirmed_at is not None and self._clock.now() - confirmed_at <= timedelta(seconds=self._max_s)
