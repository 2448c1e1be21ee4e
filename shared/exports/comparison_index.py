"""One side of a comparison, indexed on disk: which rows a file has, their pks, places and ordinals.

Everything that grows with the file stands in mapped files of fixed-size records in a temporary folder. Rows are known
by their slots, model after model, in the order of the file; slots and ordinals translate into each other both ways.
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
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
_NUMBER = struct.Struct("<I")
_RUN_BYTES = 3000 * _RECORD.size
_DECODER = msgspec.json.Decoder(ExportRow)


class MappedFile:
    """A file of fixed-size cells, mapped; made whole at once, with zeros."""

    def __init__(self, path: Path, cell_bytes: int, count: int) -> None:
        self.cell_bytes = cell_bytes
        with path.open("w+b") as file:
            # A mapped file without its room on disk would end the process when the disk is full.
            os.posix_fallocate(file.fileno(), 0, max(1, cell_bytes * count))
            self._map = mmap.mmap(file.fileno(), 0)

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
        super().__init__(path, _NUMBER.size, count)

    def get(self, place: int) -> int:
        """The number at a place."""
        number: int = _NUMBER.unpack(self[place])[0]
        return number

    def put(self, place: int, number: int) -> None:
        """Set the number at a place."""
        self[place] = _NUMBER.pack(number)


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

    def __init__(self, path: Path, folder: Path) -> None:
        """Reads the whole file once. Raises InvalidExport, UnknownModel, OSError."""
        self.folder = folder
        self.models: dict[str, ModelSlots] = {}
        self._files = contextlib.ExitStack()
        folder.mkdir()
        try:
            self._reader = self._files.enter_context(SpoolReader(path))
            self._scan(path)
            self._gather()
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
        low, high = found.first, found.first + found.slots
        while low < high:
            middle = (low + high) // 2
            if self.pk(middle) < pk:
                low = middle + 1
            else:
                high = middle
        return low if low < found.first + found.slots and self.pk(low) == pk else None

    def slot_of(self, model: str, ordinal: int) -> int:
        """The slot of the row with this ordinal, from 1."""
        return self.order.get(self.models[model].first + ordinal - 1)

    def place_of(self, model: str, ordinal: int) -> int:
        """Where what is kept by ordinal stands, in files with a cell for each slot."""
        return self.models[model].first + ordinal - 1

    def pk(self, slot: int) -> int:
        """The pk of the row in this slot."""
        pk: int = _RECORD.unpack(self._records[slot])[0]
        return pk

    def read(self, slot: int) -> ExportRow:
        """The row in this slot."""
        _, offset, length = _RECORD.unpack(self._records[slot])
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
        first = 0
        path = self.folder / "records"
        with path.open("wb") as file:
            for model, found in self.models.items():
                found.first, found.rows = first, found.slots
                first += found.slots
                if found.slots * _RECORD.size > len(found.pending):
                    with self._run(model).open("rb") as run:
                        while piece := run.read(1 << 20):
                            file.write(piece)
                    self._run(model).unlink()
                file.write(found.pending)
                found.pending.clear()
        self.slots = first
        if self.slots >= 1 << 32:
            raise InvalidExport("the file has too many rows to compare")
        self._records = _Records(path)
        self._files.callback(self._records.close)
        self.order, self.ordinals = self.numbers("order"), self.numbers("ordinals")
        for found in self.models.values():
            for place in range(found.slots):
                self.order.put(found.first + place, found.first + place)
                self.ordinals.put(found.first + place, place + 1)

    def _run(self, model: str) -> Path:
        return self.folder / f"run.{model}"


class _Records:
    """The records, mapped for reading."""

    def __init__(self, path: Path) -> None:
        if path.stat().st_size == 0:
            os.truncate(path, 1)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, slot: int) -> bytes:
        return self._map[slot * _RECORD.size : (slot + 1) * _RECORD.size]

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()


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
