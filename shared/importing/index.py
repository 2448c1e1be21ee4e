"""The object index of an upload: which rows of which model stand where in the file.

Records of one size stand in one file beside the upload, in runs of one model; a table of the runs ends it. So rows of a
model are found with one read, in file order, and memory holds no more than the table and one short run a model. The
file counts only when its last bytes are there.
"""

import itertools
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import msgspec

from shared.errors import LimitExceeded, SpoolMissing, Violation
from shared.importing.scanner import FIELD, CutObject, CutRun
from shared.importing.spool import SpoolReader, write_all

PK_MAX = 2**63 - 1
NO_MODEL = ""
"""The model of objects from which none can be read."""

_RECORD = struct.Struct("<qQII")  # pk (0: none that is valid), offset, length, position in the file from 1
_LENGTH_OF_RECORD = struct.Struct("<16xI4x")
_RUN_BYTES = 256 * _RECORD.size
_TAIL = struct.Struct("<QI4s")  # offset and length of the table, mark
_MARK = b"SWI1"
_MODEL = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
_MODEL_LENGTH_MAX = 100
_PK = re.compile(rb"[1-9][0-9]{0,18}")


class ModelRows(NamedTuple):
    """How many rows of a model a file has. Model names are lower case; "" are objects without a readable one."""

    model: str
    rows: int


class IndexRecord(NamedTuple):
    """One object: `ordinal` its place among its model's rows, `position` its place in the file, both from 1."""

    ordinal: int
    pk: int | None
    offset: int
    length: int
    position: int


class Places(NamedTuple):
    """What an index tells of some rows: as many values in each sequence, as in IndexRecord."""

    pks: Sequence[int | None]
    offsets: Sequence[int]
    lengths: Sequence[int]
    positions: Sequence[int]

    def between(self, first: int, end: int) -> Self:
        """Of the rows from `first` (from 0) to the one before `end`."""
        return type(self)(
            self.pks[first:end], self.offsets[first:end], self.lengths[first:end], self.positions[first:end]
        )


class _Head(msgspec.Struct, gc=False):
    model: str
    pk: msgspec.Raw = msgspec.Raw(b"")


class _PlainHead(msgspec.Struct, gc=False):
    """Takes no other pk than `integer_pk` does."""

    model: str
    pk: Annotated[int, msgspec.Meta(ge=1, le=PK_MAX)]


_HEAD = msgspec.json.Decoder(_Head)
_PLAIN_HEADS = msgspec.json.Decoder(list[_PlainHead])


class _ModelTable(msgspec.Struct):
    model: str
    rows: int
    runs: list[tuple[int, int]]  # offset in the index file, rows


class _Table(msgspec.Struct):
    objects: int
    models: list[_ModelTable]


class _Pending:
    def __init__(self, model: str) -> None:
        self.table = _ModelTable(model, 0, [])
        self.records = bytearray()


class IndexBuilder:
    """Writes the index while the objects arrive in file order; `models_max` names at most (LimitExceeded)."""

    def __init__(self, path: Path, models_max: int = 1000) -> None:
        self._path = path
        self._models_max = models_max
        self._models: dict[str, _Pending] = {}
        self._named = ("", NO_MODEL)
        self._objects = 0
        self._written = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def add(self, run: CutRun) -> None:
        """Enter objects; what cannot be decoded is entered without a model and told when the rows are decoded."""
        names, pks = _heads(run)
        offsets = run.offsets
        records = list(map(_RECORD.pack, pks, offsets, run.lengths, itertools.count(self._objects + 1)))
        self._objects += len(records)
        begin = 0
        for name, same in itertools.groupby(names):  # rows of one model mostly stand together
            end = begin + len(list(same))
            pending = self._pending(name, offsets[begin])
            pending.records += b"".join(records[begin:end])
            if len(pending.records) >= _RUN_BYTES:
                self._write_run(pending)
            begin = end

    def finish(self) -> tuple[ModelRows, ...]:
        """Bring the index to disk and return the rows of each model, in order of first appearance."""
        for pending in self._models.values():
            self._write_run(pending)
        tables = [pending.table for pending in self._models.values()]
        table = msgspec.msgpack.encode(_Table(self._objects, tables))
        write_all(self._descriptor, table + _TAIL.pack(self._written, len(table), _MARK))
        os.fsync(self._descriptor)
        self._close()
        return tuple(ModelRows(table.model, table.rows) for table in tables)

    def abort(self) -> None:
        """Remove the file, unless it is finished."""
        if self._descriptor >= 0:
            self._close()
            self._path.unlink(missing_ok=True)

    def _pending(self, name: str, offset: int) -> _Pending:
        if name != self._named[0]:
            self._named = (name, model_name(name) or NO_MODEL)
        model = self._named[1]
        pending = self._models.get(model)
        if pending is not None:
            return pending
        if len(self._models) >= self._models_max:
            message = f"the upload names more than {self._models_max} models"
            raise LimitExceeded(
                f"{message} (at byte {offset})",
                metadata={"offset": str(offset), "limit": "models", "maximum": str(self._models_max)},
                violations=[Violation(FIELD, message)],
            )
        return self._models.setdefault(model, _Pending(model))

    def _write_run(self, pending: _Pending) -> None:
        rows = len(pending.records) // _RECORD.size
        if rows == 0:
            return
        write_all(self._descriptor, pending.records)
        runs = pending.table.runs
        if runs and runs[-1][0] + runs[-1][1] * _RECORD.size == self._written:
            runs[-1] = (runs[-1][0], runs[-1][1] + rows)
        else:
            runs.append((self._written, rows))
        pending.table.rows += rows
        self._written += len(pending.records)
        pending.records.clear()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


class ObjectIndex:
    """A finished index, opened for reading; SpoolMissing when the file is not there or not whole."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = SpoolReader(path)
        except OSError as error:
            raise SpoolMissing("The index of the uploaded file cannot be opened.") from error
        try:
            table = self._read_table()
        except BaseException:
            self._reader.close()
            raise
        self.objects = table.objects
        self._tables = {entry.model: entry for entry in table.models}

    @property
    def models(self) -> tuple[ModelRows, ...]:
        """The rows of each model, in order of first appearance."""
        return tuple(ModelRows(table.model, table.rows) for table in self._tables.values())

    def records(self, model: str, first_ordinal: int, count: int) -> list[IndexRecord]:
        """Up to `count` records of a model in file order, from `first_ordinal` (1 is the first); [] after its end."""
        places = self.places(model, first_ordinal, count)
        return list(map(IndexRecord, itertools.count(first_ordinal), *places))

    def places(self, model: str, first_ordinal: int, count: int) -> Places:
        """The same rows, by what the index tells of them."""
        records = list(_RECORD.iter_unpack(b"".join(self._raw_records(model, first_ordinal, count))))
        if not records:
            return Places((), (), (), ())
        pks, *others = zip(*records, strict=True)
        return Places([pk or None for pk in pks], *others)

    def extent(self, model: str, first_ordinal: int, count: int) -> tuple[int, int]:
        """How many the same rows are, and in how many bytes of the file they stand, with what stands between them."""
        table = self._tables.get(model)
        rows = 0 if table is None else min(count, table.rows - first_ordinal + 1)
        if rows <= 0:
            return 0, 0
        first, last = (self.places(model, first_ordinal + place, 1) for place in (0, rows - 1))
        return rows, last.offsets[0] + last.lengths[0] - first.offsets[0]

    def lengths(self, model: str, first_ordinal: int, count: int) -> list[int]:
        """The lengths in bytes of the same rows."""
        records = b"".join(self._raw_records(model, first_ordinal, count))
        return [length for (length,) in _LENGTH_OF_RECORD.iter_unpack(records)]

    def close(self) -> None:
        """Give the file handle back."""
        self._reader.close()

    def _raw_records(self, model: str, first_ordinal: int, count: int) -> Iterator[bytes]:
        table = self._tables.get(model)
        skipped = first_ordinal - 1
        for offset, rows in table.runs if table else ():
            if count <= 0:
                return
            if skipped >= rows:
                skipped -= rows
                continue
            taken = min(rows - skipped, count)
            yield self._reader.read_at(offset + skipped * _RECORD.size, taken * _RECORD.size)
            count, skipped = count - taken, 0

    def _read_table(self) -> _Table:
        damaged = SpoolMissing("The index of the uploaded file is not whole.")
        tail_at = self._reader.length - _TAIL.size
        if tail_at < 0:
            raise damaged
        offset, length, mark = _TAIL.unpack(self._reader.read_at(tail_at, _TAIL.size))
        if mark != _MARK or offset + length != tail_at:
            raise damaged
        try:
            return msgspec.msgpack.decode(self._reader.read_at(offset, length), type=_Table)
        except msgspec.DecodeError as error:
            raise damaged from error


def _heads(run: CutRun) -> tuple[list[str], list[int]]:
    """The model's name and the pk of each object, as they stand there; 0 for no valid pk, "" and 0 for no readable
    object. All at once where each has both.
    """
    try:
        plain = _PLAIN_HEADS.decode(run.array)
    except (msgspec.DecodeError, UnicodeDecodeError):
        heads = list(map(_head, run.objects()))
        return [name for name, _ in heads], [pk for _, pk in heads]
    return [head.model for head in plain], [head.pk for head in plain]


def _head(cut: CutObject) -> tuple[str, int]:
    try:
        head = _HEAD.decode(cut.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NO_MODEL, 0
    return head.model, integer_pk(bytes(head.pk)) or 0


def model_name(text: str) -> str | None:
    """The model's name in lower case, "app.model"; None when the text is no such name."""
    name = text.lower()
    return name if len(name) <= _MODEL_LENGTH_MAX and _MODEL.fullmatch(name) else None


def integer_pk(raw: bytes) -> int | None:
    """The pk of its JSON text; None unless it is an integer in 1..2^63-1."""
    if not _PK.fullmatch(raw):
        return None
    pk = int(raw)
    return pk if pk <= PK_MAX else None
