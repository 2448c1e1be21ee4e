"""Asks control for the batch behind the one at hand: control writes it while the region records what it was told.

Control keeps its own chunks, so a batch that it has written and the region has not recorded is answered once more when
it is handed over again.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """At most one thing is asked for at a time, in a thread of its own. Used by one thread; `close` ends it."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._key: Hashable = None
        self._asked: Future[T] | None = None

    def begin(self, key: Hashable, ask: Callable[[], T]) -> None:
        """Ask for what is taken under `key` next."""
        assert self._asked is None, "what was asked for is taken first"
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="import-ahead")
        self._key, self._asked = key, self._executor.submit(copy_context().run, ask)

    def take(self, key: Hashable, ask: Callable[[], T]) -> T:
        """What was asked for under `key`, waited for, or asked for now. Raises what `ask` raises."""
        asked, self._asked = self._asked, None
        if asked is None:
            return ask()
        assert self._key == key, "something else was asked for"
        return asked.result()

    def close(self) -> None:
        """Returns when nothing is under way any more; what was not taken is forgotten."""
        if self._executor is not None:
            self._executor.shutdown()
