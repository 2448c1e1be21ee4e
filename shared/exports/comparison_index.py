"""One side of a comparison, indexed on disk: which rows a file has, their pks, places and ordinals.

Everything that grows with the file stands in mapped files of fixed-size records in a temporary folder. Rows are known
by their slots, model after model, in the order of the file; slots and ordinals translate into each other both ways.
"""

import bisect
import contextlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from shared.exports.errors import InvalidExport, UnknownModel
from shared.exports.objects import ExportRow, known_name, malformed, read_objects
from shared.importing.index import PK_MAX
from shared.importing.registry import REMOVED_MODELS, models
from shared.importing.scanner import CutObject
from shared.importing.spool import SpoolReader

_RECORD = struct.Struct("<qQI")  # pk, offset, length
_PLACE = struct.Struct("<QI")
_RUN_BYTES = 3000 * _RECORD.size
_DECODER = msgspec.json.Decoder(ExportRow)


class MappedFile:
    """A file of fixed-size cells, mapped; made whole at once, with zeros."""

    def __init__(self, path: Path, cell_bytes: int, count: int) -> None:
        self.cell_bytes = cell_bytes
        with path.open("w+b") as file:
            # A mapped file without its room on disk would end the process when the disk is full.
            os.posix_fallocate(file.fileno(), 0, cell_bytes * max(1, count))
            self._map = mmap.mmap(file.fileno(), 0)

    def view(self, form: str) -> "memoryview[int]":
        """The cells as numbers of this form (struct's letter); released before the file is closed."""
        return memoryview(self._map).cast(form)  # type: ignore[call-overload,no-any-return]

    def __getitem__(self, place: int) -> bytes:
        return self._map[place * self.cell_bytes : (place + 1) * self.cell_bytes]

    def __setitem__(self, place: int, cell: bytes) -> None:
        self._map[place * self.cell_bytes : (place + 1) * self.cell_bytes] = cell

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()


class Numbers(MappedFile):
    """Cells that are numbers below 2^32."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path, 4, count)
        self._view = self.view("I")

    def get(self, place: int) -> int:
        """The number at a place."""
        return self._view[place]

    def put(self, place: int, number: int) -> None:
        """Set the number at a place."""
        self._view[place] = number

    def close(self) -> None:
        self._view.release()
        super().close()


class ModelSlots:
    """Where a model's rows stand: `first` slot, how many slots, and how many of them have an ordinal."""

    def __init__(self) -> None:
        self.first = 0
        self.slots = 0
        self.rows = 0
        self.last_pk = 0
        self.unordered: tuple[int, int] | None = None
        """(slot among the model's, pk) of the first row whose pk does not ascend."""
        self.pending = bytearray()


class SideIndex:
    """The index of one file; a context that gives its files back."""

    def __init__(self, path: Path, folder: Path, tick: Callable[[], None] = lambda: None) -> None:
        """Reads the whole file once; `tick` is for whoever wants to know that rows are read.

        Raises InvalidExport, UnknownModel, OSError.
        """
        self.folder = folder
        self._tick = tick
        self.models: dict[str, ModelSlots] = {}
        self._files = contextlib.ExitStack()
        folder.mkdir()
        try:
            self._reader = self._files.enter_context(SpoolReader(path))
            self._scan(path)
            self._gather()
        except InvalidExport as error:
            self.close()
            raise InvalidExport(f"{path.name}: {error}") from error
        except BaseException:
            self.close()
            raise

    def mapped(self, name: str, cell_bytes: int) -> MappedFile:
        """A new file with a cell for each slot."""
        made = MappedFile(self.folder / name, cell_bytes, self.slots)
        self._files.callback(made.close)
        return made

    def numbers(self, name: str) -> Numbers:
        """A new file with a number for each slot."""
        made = Numbers(self.folder / name, self.slots)
        self._files.callback(made.close)
        return made

    def rows(self, model: str) -> int:
        """How many rows of a model are compared."""
        found = self.models.get(model)
        return found.rows if found else 0

    def ordinal(self, model: str, pk: Any) -> int | None:
        """The ordinal of the row with this pk; None when there is none that is compared."""
        slot = self.slot(model, pk)
        return None if slot is None else self.ordinals.get(slot) or None

    def slot(self, model: str, pk: Any) -> int | None:
        """The slot of the row with this pk; pks ascend."""
        found = self.models.get(model)
        if found is None or not isinstance(pk, int) or isinstance(pk, bool):
            return None
        end = found.first + found.slots
        slot = bisect.bisect_left(self._records.pks, pk, found.first, end)
        return slot if slot < end and self._records.pks[slot] == pk else None

    def slot_of(self, model: str, ordinal: int) -> int:
        """The slot of the row with this ordinal, from 1."""
        return self.order.get(self.models[model].first + ordinal - 1)

    def place_of(self, model: str, ordinal: int) -> int:
        """Where what is kept by ordinal stands, in files with a cell for each slot."""
        return self.models[model].first + ordinal - 1

    def pk(self, slot: int) -> int:
        """The pk of the row in this slot."""
        return self._records.pks[slot]

    def read(self, slot: int) -> ExportRow:
        """The row in this slot."""
        self._tick()
        offset, length = self._records.place(slot)
        return _decoded(CutObject(offset, self._reader.read_at(offset, length)))

    def close(self) -> None:
        """Give all files back."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _scan(self, path: Path) -> None:
        for cut in read_objects(path):
            self._tick()
            row = _checked(cut)
            model = known_name(cut, row.model)
            if model in REMOVED_MODELS:
                continue
            if model not in models():
                raise UnknownModel(f"{path.name}: no version is known that has the model {model}")
            if not 1 <= row.pk <= PK_MAX:
                raise malformed(cut, "expected a pk in 1..2^63-1")
            found = self.models.setdefault(model, ModelSlots())
            if row.pk <= found.last_pk and found.unordered is None:
                found.unordered = (found.slots, row.pk)
            found.last_pk = row.pk
            found.slots += 1
            found.pending += _RECORD.pack(row.pk, cut.offset, len(cut.data))
            if len(found.pending) >= _RUN_BYTES:
                self._append(model, found)

    def _append(self, model: str, found: ModelSlots) -> None:
        with self._run(model).open("ab") as file:
            file.write(found.pending)
        found.pending.clear()

    def _gather(self) -> None:
        """Bring the records of all models into one mapped file."""
        self.slots = sum(found.slots for found in self.models.values())
        if self.slots >= 1 << 32:
            raise InvalidExport("the file has too many rows to compare")
        self._records = _Records(self.folder, self.slots)
        self._files.callback(self._records.close)
        first = 0
        for model, found in self.models.items():
            found.first, found.rows = first, found.slots
            for slot, record in enumerate(self._records_of(model, found), first):
                self._records.put(slot, *record)
            first += found.slots
        self.order, self.ordinals = self.numbers("order"), self.numbers("ordinals")
        for found in self.models.values():
            for place in range(found.slots):
                self.order.put(found.first + place, found.first + place)
                self.ordinals.put(found.first + place, place + 1)

    def _records_of(self, model: str, found: ModelSlots) -> Iterator[tuple[int, int, int]]:
        """What was written of a model, then what is pending; both are gone then."""
        if found.slots * _RECORD.size > len(found.pending):
            with self._run(model).open("rb") as run:
                while piece := run.read(_RUN_BYTES):
                    yield from _RECORD.iter_unpack(piece)
            self._run(model).unlink()
        yield from _RECORD.iter_unpack(found.pending)
        found.pending = bytearray()

    def _run(self, model: str) -> Path:
        return self.folder / f"run.{model}"


class _Records:
    """The pks and places of all rows, by slot."""

    def __init__(self, folder: Path, slots: int) -> None:
        self._pks = MappedFile(folder / "pks", 8, slots)
        self._places = MappedFile(folder / "places", _PLACE.size, slots)
        self.pks = self._pks.view("q")

    def put(self, slot: int, pk: int, offset: int, length: int) -> None:
        """Enter a row."""
        self.pks[slot] = pk
        self._places[slot] = _PLACE.pack(offset, length)

    def place(self, slot: int) -> tuple[int, int]:
        """Offset and length of the row in its file."""
        offset, length = _PLACE.unpack(self._places[slot])
        return offset, length

    def close(self) -> None:
        """Give the memory back."""
        self.pks.release()
        self._pks.close()
        self._places.close()


def _decoded(cut: CutObject) -> ExportRow:
    try:
        return _DECODER.decode(cut.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(cut, str(error)) from error


def _checked(cut: CutObject) -> ExportRow:
    """The row; every value of it was decoded once, so that none is refused later."""
    try:
        msgspec.json.decode(cut.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(cut, str(error)) from error
    return _decoded(cut)


def ordinals_of(side: SideIndex, model: str) -> Iterator[int]:
    """The ordinals of a model's rows."""
    yield from range(1, side.rows(model) + 1)
