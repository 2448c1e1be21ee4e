"""How a program loads its libraries: that is most of its start, so nothing is done in it that nobody needs."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator
from typing import Any

# A batch of rows is tens of thousands of tuples that no cycle holds: the usual 700 make it be looked through time and
# again, which was a seventh of an import's work. So many new objects are a few MiB at most.
_COLLECTIONS = (20_000, 20, 20)
# mallopt's M_ARENA_MAX, of glibc. Threads that allocate in turn, as Python's do, have nothing of arenas of their own
# but the holes in each: a quarter of what a large import takes.
_ARENA_MAX = -8


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Load modules inside of it, in a process of a silo and before its threads start.

    Nothing is garbage while modules load, and what they leave lives as long as the process: looking for it is a seventh
    of a start, and later a part of each collection.
    """
    # structlog loads rich, when there is one, for coloured lines that a silo never writes; None says there is none.
    modules: dict[str, Any] = sys.modules
    modules.setdefault("rich", None)
    gc.disable()
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)
        gc.enable()
