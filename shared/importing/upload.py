"""An upload as one thing: received, it is scanned, spooled and indexed at once; opened, it hands out rows by model.

Nothing of a refused upload stays; one that broke off can be kept, and what came of it is scanned again when it goes on,
so that no state outlives a process but the bytes. When `finish` has returned, file and index are whole and on disk.
"""

import itertools
import operator
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from shared.errors import InvalidUpload
from shared.importing.index import IndexBuilder, IndexRecord, ModelRows, ObjectIndex, Places
from shared.importing.scanner import FIELD, ScanLimits, Scanner
from shared.importing.spool import Spool, SpoolReader

_GAP_BYTES_MAX = 4096
ROWS_BYTES_MAX = 8 << 20


@dataclass(frozen=True)
class ReceivedUpload:
    """What the import's row records of its file."""

    length: int
    sha256: bytes
    objects: int
    models: tuple[ModelRows, ...]


class RawRow(NamedTuple):
    """One row's JSON as uploaded. `position` is its place among all objects of the file, from 1."""

    ordinal: int
    pk: int | None
    position: int
    data: bytes


_raw_row: Callable[[tuple[int, int | None, int, bytes]], RawRow] = partial(tuple.__new__, RawRow)


def raw_rows(
    ordinals: Iterable[int],
    objects: Sequence[bytes],
    pks: Iterable[int | None] = itertools.repeat(None),
    positions: Iterable[int] = itertools.repeat(0),
) -> list[RawRow]:
    """A row for each object. Those that were handed over have no pk and no position that anybody needs."""
    return list(map(_raw_row, zip(ordinals, pks, positions, objects, strict=False)))


class Upload:
    """Receives an upload chunk by chunk. Leaving it as a context before `finish` or `keep` removes every trace of it.

    The caller sees to it that an import id has one upload at a time.
    """

    def __init__(
        self, spool: Spool, import_id: str, limits: ScanLimits | None = None, *, goes_on: bool = False
    ) -> None:
        """Raises SpoolFull when there is no room to begin; when it `goes_on`, what `write` raises."""
        self._spool, self._import_id = spool, import_id
        self._finished = False
        self._scanner = Scanner(limits)
        self._writer = spool.go_on(import_id) if goes_on else spool.receive(import_id)
        try:
            self._index = IndexBuilder(spool.index_path(import_id))
        except BaseException:
            self._writer.abort()
            raise
        self._objects = 0
        if goes_on:
            self._replay()

    @property
    def length(self) -> int:
        """Bytes received so far."""
        return self._writer.length

    @property
    def objects(self) -> int:
        """Objects that were complete so far."""
        return self._objects

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises InvalidUpload, LimitExceeded, SpoolFull."""
        self._scan(chunk)
        self._writer.write(chunk)

    def write_at(self, offset: int, chunk: bytes) -> None:
        """Take bytes that begin at `offset`, which is not above `length`; those that came before must be the same.

        Raises what `write` raises.
        """
        before, new = chunk[: self.length - offset], chunk[self.length - offset :]
        if before and not self._writer.holds(before, offset):
            raise InvalidUpload.of(FIELD, f"bytes from {offset} on are others than those that came before")
        if new:
            self.write(new)

    def finish(self) -> ReceivedUpload:
        """The upload ends here: check that the array is complete, then bring index and file to disk, in this order."""
        self._scanner.finish()
        models = self._index.finish()
        spooled = self._writer.finish()
        self._finished = True
        return ReceivedUpload(spooled.length, spooled.sha256, self._objects, models)

    def keep(self) -> None:
        """The upload broke off: keep what came, so that it can go on."""
        self._writer.keep()
        self._index.abort()
        self._finished = True

    def abort(self) -> None:
        """Remove what was written, unless it is finished or kept."""
        if not self._finished:
            self._writer.abort()
            self._index.abort()
            self._spool.remove(self._import_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _scan(self, chunk: bytes) -> None:
        for run in self._scanner.feed_runs(chunk):
            self._index.add(run)
            self._objects += len(run.lengths)

    def _replay(self) -> None:
        try:
            for piece in self._writer.replay():
                self._scan(piece)
        except BaseException:
            self.abort()
            raise


class UploadedFile:
    """A finished upload, opened for reading. SpoolMissing when its file or index cannot be opened or is not whole."""

    def __init__(self, spool: Spool, import_id: str, expected_length: int) -> None:
        self._reader = spool.open(import_id, expected_length)
        try:
            self._index = ObjectIndex(spool.index_path(import_id))
        except BaseException:
            self._reader.close()
            raise

    @property
    def objects(self) -> int:
        """Objects in the file."""
        return self._index.objects

    @property
    def models(self) -> tuple[ModelRows, ...]:
        """The rows of each model, in order of first appearance; "" are objects without a readable model."""
        return self._index.models

    def records(self, model: str, first_ordinal: int, count: int) -> list[IndexRecord]:
        """Ordinals, pks and places of up to `count` rows without reading them: enough to tell that they are skipped."""
        return self._index.records(model, first_ordinal, count)

    def count_within(self, model: str, first_ordinal: int, rows_max: int, bytes_max: int) -> int:
        """How many of up to `rows_max` rows come to `bytes_max` at most; one at least, unless there is none."""
        rows, extent = self._index.extent(model, first_ordinal, rows_max)
        if extent <= bytes_max:
            return rows
        totals = list(itertools.accumulate(self._index.lengths(model, first_ordinal, rows)))
        return max(1, bisect_right(totals, bytes_max))

    def rows(
        self, model: str, first_ordinal: int, count: int, bytes_max: int = ROWS_BYTES_MAX
    ) -> Iterator[list[RawRow]]:
        """Up to `count` rows of a model from `first_ordinal` (from 1), in file order, in runs of about `bytes_max`.

        Rows that stand together in the file are read at once. A run holds at least one row.
        """
        places = self._index.places(model, first_ordinal, count)
        for first, end in _runs(places.lengths, bytes_max):
            run = places.between(first, end)
            objects = [data for span in _spans(run) for data in _read_span(self._reader, run, *span)]
            yield raw_rows(itertools.count(first_ordinal + first), objects, run.pks, run.positions)

    def close(self) -> None:
        """Give the file handles back."""
        self._reader.close()
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _runs(lengths: Sequence[int], bytes_max: int) -> Iterator[tuple[int, int]]:
    """Where runs of rows of these lengths begin and end."""
    first = total = 0
    for place, length in enumerate(lengths):
        total += length
        if total > bytes_max and place > first:
            yield first, place
            first, total = place, length
    if lengths:
        yield first, len(lengths)


def _spans(run: Places) -> Iterator[tuple[int, int]]:
    """Split where much else stands between two rows."""
    ends = map(operator.add, run.offsets, run.lengths)
    gaps = map(operator.sub, run.offsets[1:], ends)
    first = 0
    for place, gap in enumerate(gaps, 1):
        if gap > _GAP_BYTES_MAX:
            yield first, place
            first = place
    yield first, len(run.offsets)


def _read_span(reader: SpoolReader, run: Places, first: int, end: int) -> list[bytes]:
    start = run.offsets[first]
    data = reader.read_at(start, run.offsets[end - 1] + run.lengths[end - 1] - start)
    places = zip(run.offsets[first:end], run.lengths[first:end], strict=True)
    return [data[offset - start : offset - start + length] for offset, length in places]
