"""The time that is left for the work at hand, as a context variable.

The outermost interceptor opens it; everything below asks it, so that no wait outlives the call that started it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.errors import DeadlineExceeded

_ENDS_AT: ContextVar[float | None] = ContextVar("deadline_ends_at", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit the enclosed work to `seconds` from now; inside another limit the earlier end wins."""
    ends_at = time.monotonic() + seconds
    outer = _ENDS_AT.get()
    reset = _ENDS_AT.set(ends_at if outer is None else min(outer, ends_at))
    try:
        yield
    finally:
        _ENDS_AT.reset(reset)


@contextmanager
def afresh(seconds: float) -> Iterator[None]:
    """Limit the enclosed work to `seconds` whatever the limit around it: for tidying up after a call that ran out."""
    reset = _ENDS_AT.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS_AT.reset(reset)


def remaining_s() -> float | None:
    """Seconds left, at least 0; None when nothing limits the work."""
    ends_at = _ENDS_AT.get()
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


def check() -> None:
    """Raise DeadlineExceeded when no time is left. For between steps: a cancelled call's handler runs on."""
    left = remaining_s()
    if left is not None and left <= 0:
        raise DeadlineExceeded
