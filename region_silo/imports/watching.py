"""Tells of an import while it goes on: when it has changed, at most so often, and now and then in any case.

Each watcher asks the database by itself, so their number has a limit; who finds no place asks for the import instead.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from region_silo.imports.domain import RESTING, ImportReport
from shared import deadline, errors
from shared.places import Places
from shared.rpc.call import is_stopping

_LOOK_EVERY_S = 0.5
_HEARTBEAT_S = 10.0
_END_BEFORE_S = 0.5
_AGAIN_S = 5.0


@dataclass(frozen=True)
class WatchSettings:
    """How many may watch in one process, how often the import is looked at, and how long nothing may be told."""

    watchers_max: int = 4
    look_every_s: float = _LOOK_EVERY_S
    heartbeat_s: float = _HEARTBEAT_S


class Watching:
    """The watchers of one process. `read(import_id)` gives the import as the caller may see it, or refuses."""

    def __init__(self, read: Callable[[int], ImportReport], settings: WatchSettings | None = None) -> None:
        self._read = read
        self._settings = settings or WatchSettings()
        self._places = Places(self._settings.watchers_max, doing="watch imports", again_s=_AGAIN_S)
        self._pause = threading.Event()

    def watch(self, import_id: int, is_wanted: Callable[[], bool]) -> Iterator[ImportReport]:
        """The import now and with each change, until it rests or `is_wanted` says no.

        Raises ImportNotFound, ResourceExhausted when all places are taken, DeadlineExceeded, Stopping.
        """
        with self._places.taken():
            told: ImportReport | None = None
            told_at = 0.0
            while is_wanted():
                found = self._read(import_id)
                if told is None or _differs(told, found) or time.monotonic() - told_at >= self._settings.heartbeat_s:
                    told, told_at = found, time.monotonic()
                    yield found
                if found.data_import.state in RESTING:
                    return
                if is_stopping():
                    raise errors.Stopping
                left = deadline.remaining_s()
                if left is not None and left < self._settings.look_every_s + _END_BEFORE_S:
                    raise errors.DeadlineExceeded
                self._pause.wait(self._settings.look_every_s)


def _differs(told: ImportReport, found: ImportReport) -> bool:
    """Whether there is news: the pace alone is none, nor is that somebody looked whether the slugs are there."""
    return _news(told) != _news(found)


def _news(report: ImportReport) -> tuple[object, ...]:
    found = report.data_import
    quiet = replace(found, updated_at=found.created_at, asked_at=None, went_on_at=None, attempts=0, peer_failures=0)
    return quiet, report.counts, report.organizations
