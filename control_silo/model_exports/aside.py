"""Reads in another thread while the caller tells that it reads; whoever does not wait for it ends it.

The thread never outlives the call that it reads for: a statement that runs when the call ends is cancelled.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context

from shared.database import Transaction

_CANCEL_EVERY_S = 0.1
"""A reading that looked just before may begin one more statement."""


class Wanted:
    """Tells a reading whether anybody waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transaction: Transaction | None = None
        self._given_up = False

    def __bool__(self) -> bool:
        return not self._given_up

    @contextmanager
    def reading(self, transaction: Transaction) -> Iterator[None]:
        """Inside, the transaction's statement may be cancelled; behind, the connection is another's."""
        self._set(transaction)
        try:
            yield
        finally:
            self._set(None)

    def give_up(self) -> None:
        """From now on nobody waits; what the reading asks just now is cancelled."""
        self._given_up = True
        with self._lock:
            if self._transaction is not None:
                self._transaction.cancel()

    def _set(self, transaction: Transaction | None) -> None:
        with self._lock:
            self._transaction = transaction


def tell_while(read: Callable[[Wanted], None], every_s: float) -> Iterator[None]:
    """Run `read` and yield every so often until it has ended. Raises what it raises."""
    wanted = Wanted()
    with ThreadPoolExecutor(1, thread_name_prefix="export-rows") as threads:
        reading = threads.submit(copy_context().run, read, wanted)
        try:
            while not wait((reading,), every_s).done:
                yield None
        finally:
            while not wait((reading,), 0).done:
                wanted.give_up()
                wait((reading,), _CANCEL_EVERY_S)
        reading.result()
