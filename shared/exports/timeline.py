"""All moments of a file in order, and where each one is moved to so that their order stays.

Moments are milliseconds since 1970. They are sorted in runs on disk, so memory does not grow with their number. Each
moves at random between the midpoints to its neighbours: whatever came before another one still does.
"""

import bisect
import heapq
import itertools
import mmap
import os
import re
from array import array
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.exports.errors import DateOutOfRange
from shared.exports.pseudonyms import Pseudonyms

MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
"""A date with time and zone, as text."""

_MOMENT_BYTES = re.compile(MOMENT.pattern.encode())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RUN_MAX = 100_000
_READ_BYTES = 8 << 10
_REACH_MS = 24 * 3600 * 1000
"""Where the neighbours of the first and the last moment are thought to be."""


def moment_of(text: str) -> datetime | None:
    """The moment in UTC that a text says; None for a text that is no date, or not one of this calendar."""
    if not MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def text_of(moment: datetime) -> str:
    """The moment as exports write it: UTC, three digits of a second, Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Timeline:
    """The moments of a file, on disk in `folder`."""

    def __init__(self, folder: Path, objects: Iterable[bytes], pseudonyms: Pseudonyms, days_offset: int) -> None:
        """Reads the raw JSON of all objects. Needs room for 8 bytes a distinct moment."""
        self._pseudonyms = pseudonyms
        self._offset_days = days_offset
        path = folder / "moments"
        with path.open("wb") as file:
            for run in _batches(_distinct(_sorted_runs(folder, _moments(objects)))):
                array("q", run).tofile(file)
        self._file = path.open("rb")
        size = os.fstat(self._file.fileno()).st_size
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        self._moments = memoryview(self._map or b"").cast("q")

    def moved(self, moment: datetime) -> datetime:
        """Where the moment is moved to, in whole milliseconds. Raises DateOutOfRange."""
        own = _milliseconds(moment)
        place = bisect.bisect_left(self._moments, own)
        before = self._moments[place - 1] if place else own - _REACH_MS
        place += place < len(self._moments) and self._moments[place] == own
        after = self._moments[place] if place < len(self._moments) else own + _REACH_MS
        low, high = (before + own) // 2 + 1, (own + after) // 2
        try:
            new = _EPOCH + self._pseudonyms.moment(own, low, high) * _MILLISECOND
            return new + timedelta(days=self._offset_days)
        except OverflowError as error:
            raise DateOutOfRange(f"{self._offset_days} days lead a date out of the calendar") from error

    def close(self) -> None:
        """Give the file back."""
        self._moments.release()
        if self._map is not None:
            self._map.close()
        self._file.close()


def _moments(objects: Iterable[bytes]) -> Iterator[int]:
    for data in objects:
        for found in _MOMENT_BYTES.findall(data):
            moment = moment_of(found.decode())
            if moment is not None:
                yield _milliseconds(moment)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _sorted_runs(folder: Path, moments: Iterator[int]) -> Iterator[int]:
    paths: list[Path] = []
    while run := set(itertools.islice(moments, _RUN_MAX)):
        paths.append(folder / f"moments.{len(paths)}")
        with paths[-1].open("wb") as file:
            array("q", sorted(run)).tofile(file)
    yield from heapq.merge(*map(_read_run, paths))
    for path in paths:
        path.unlink()


def _read_run(path: Path) -> Iterator[int]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_READ_BYTES):
            yield from memoryview(piece).cast("q")


def _distinct(moments: Iterator[int]) -> Iterator[int]:
    for moment, _ in itertools.groupby(moments):
        yield moment


def _batches(moments: Iterator[int]) -> Iterator[list[int]]:
    while batch := list(itertools.islice(moments, _RUN_MAX)):
        yield batch
