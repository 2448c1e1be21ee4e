"""Waiting for the end of a change: calls sleep until a region's answer has closed it.

One thread a process listens for closed changes and reads all changes that are waited for in one go; the poll is the
truth, the wake-up only a hint. Nobody waits inside a transaction.
"""

import threading
import time
from collections import Counter

import structlog

from control_silo.changes import store
from control_silo.changes.domain import CHANNEL, Change
from shared import deadline
from shared.database import Database
from shared.errors import ServiceError
from shared.requests import RequestKey
from shared.wake import Listener

WAIT_MAX_S = 10.0
"""The longest that a call waits for other silos."""

_MARGIN_S = 0.5
_POLL_S = 1.0

_log = structlog.get_logger("siloway.changes")


class ChangeWaiter:
    """Waits for changes of one database. Thread-safe; its thread starts with the first wait."""

    def __init__(self, database: Database, database_url: str) -> None:
        self._database = database
        self._listener = Listener(database_url, [CHANNEL])
        self._condition = threading.Condition()
        self._waited: Counter[RequestKey] = Counter()
        self._closed: dict[RequestKey, Change] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False

    def wait(self, change: Change) -> Change:
        """The change at its end, or as it was given when it runs on after min(what is left of the call, 10 s)."""
        left_s = deadline.remaining_s()
        wait_s = WAIT_MAX_S if left_s is None else min(left_s - _MARGIN_S, WAIT_MAX_S)
        if not change.is_running or wait_s <= 0:
            return change
        key = change.key
        ends_at = time.monotonic() + wait_s
        with self._condition:
            self._start()
            self._waited[key] += 1
        self._look()  # it may have been closed before anybody listened for it
        with self._condition:
            try:
                while key not in self._closed and not self._stopping:
                    left_s = ends_at - time.monotonic()
                    if left_s <= 0:
                        return change
                    self._condition.wait(left_s)
                return self._closed.get(key, change)
            finally:
                self._waited[key] -= 1
                if self._waited[key] <= 0:
                    del self._waited[key]
                    self._closed.pop(key, None)

    def close(self) -> None:
        """Let all go, and end the thread."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._listener.close()

    def _start(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name="change-waiter", daemon=True)
            self._thread.start()
        self._condition.notify_all()  # the thread sleeps while nobody waits

    def _run(self) -> None:
        while not self._stopping:
            with self._condition:
                while not self._stopping and not self._open():
                    self._condition.wait()
            self._look()
            self._listener.wait(_POLL_S)

    def _open(self) -> list[RequestKey]:
        return [key for key in self._waited if key not in self._closed]

    def _look(self) -> None:
        with self._condition:
            keys = self._open()
        if not keys:
            return
        try:
            found = self._database.read(lambda transaction: store.find_many(transaction, keys))
        except ServiceError as error:
            _log.warning("changes_unreadable", reason=error.reason)
            return
        with self._condition:
            self._closed.update(
                (change.key, change) for change in found if not change.is_running and change.key in keys
            )
            self._condition.notify_all()
