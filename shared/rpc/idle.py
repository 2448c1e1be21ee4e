"""Ends client streams that have fallen silent, so that stalled clients cannot hold all permits until the maximum.

Only the client's silence counts: while a message is being worked on, nothing is expected of the client.

One thread looks at all streams of the process every second; a stream costs two look-ups a message. The client of a
stream that is ended sees CANCELLED.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import grpc

IDLE_S: Final = 30.0
_LOOK_EVERY_S = 1.0


class IdleWatch:
    """Cancels a stream when nothing was heard of it for `idle_s`."""

    def __init__(self, idle_s: float = IDLE_S, *, look_every_s: float = _LOOK_EVERY_S) -> None:
        self._idle_s = idle_s
        self._look_every_s = look_every_s
        self._heard_at: dict[int, float] = {}
        self._contexts: dict[int, grpc.ServicerContext] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, context: grpc.ServicerContext) -> Iterator[Callable[..., None]]:
        """Watch a stream inside; call what it yields when a message is awaited, and `busy=True` when one has come."""
        number = next(self._numbers)

        def heard(*, busy: bool = False) -> None:
            self._heard_at[number] = math.inf if busy else time.monotonic()

        heard()
        with self._lock:
            self._contexts[number] = context
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="idle-streams", daemon=True)
                self._thread.start()
        try:
            yield heard
        finally:
            with self._lock:
                del self._contexts[number]
            del self._heard_at[number]

    def _run(self) -> None:
        while True:
            time.sleep(self._look_every_s)
            with self._lock:
                streams = list(self._contexts.items())
            late = time.monotonic() - self._idle_s
            for number, context in streams:
                if self._heard_at.get(number, late) < late:
                    context.cancel()
