"""Decodes many rows with exactly the same fields by one typed decoder, column by column.

What such a decoder does not accept is left to whoever knows what to tell about it: a shape tells no findings, it only
never gives out a row that needs a closer look. Checks of many rows at once are exact: a group that they doubt is taken
apart until the rows that are in doubt stand alone.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from functools import lru_cache, partial
from itertools import repeat
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from shared.importing.columns import Column, Kind
from shared.importing.index import PK_MAX
from shared.importing.upload import RawRow
from shared.importing.values import CONVERTERS, BadValue, count_keys, json_value

PARTS = frozenset({"model", "pk", "fields"})
"""The keys of an object of an export."""

_SPACE = b" \t\r\n"
_GROUP_ROWS_MAX = 512
_GROUP_BYTES_MAX = 1 << 20
_KNOWN_JSON_MAX = 16
_KNOWN_JSON_LENGTH_MAX = 1024
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_Columns = list[Sequence[Any]]


class DecodedRow(NamedTuple):
    """One good row: `values` in the order of `columns_of(model)`, references as old pks, every default filled in.

    A row that is kept whole may have one value more: its unknown fields, name to JSON.
    """

    ordinal: int
    pk: int
    values: tuple[Any, ...]


_decoded_row: Callable[[tuple[int, int, tuple[Any, ...]]], DecodedRow] = partial(tuple.__new__, DecodedRow)


class Shape:
    """Rows with exactly these fields: typed, all required, none else allowed, in the order of the file."""

    def __init__(self, columns: Sequence[Column], names: Sequence[str]) -> None:
        """ValueError when a name cannot be a struct's."""
        by_name = {column.name: column for column in columns}
        places = [f"f{place}" for place in range(len(names))]
        types = [by_name[name].wire_type if name in by_name else msgspec.Raw for name in names]
        fields = msgspec.defstruct(
            "Fields",
            list(zip(places, types, strict=True)),
            rename=dict(zip(places, names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        pk = Annotated[int, Meta(ge=1, le=PK_MAX)]
        parts = [("model", str), ("pk", pk), ("fields", fields)]
        row = msgspec.defstruct("Row", parts, forbid_unknown_fields=True, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._keys = len(PARTS) + len(names)
        self.ignored = [name for name in names if name not in by_name]
        """Fields that rows of this shape have and the model has not."""
        self._ignored_places = [place for place, name in enumerate(names) if name not in by_name]
        place_of = {name: place for place, name in enumerate(names)}
        self._columns = [(column, place_of.get(column.name)) for column in columns]
        self._json = {
            place: _json_reader(columns[place])
            for place, (column, source) in enumerate(self._columns)
            if column.kind is Kind.JSON and source is not None
        }

    @staticmethod
    def group(rows: Sequence[RawRow], first: int) -> Sequence[RawRow]:
        """As many of the rows as `decode` should take at a time, from `first` on: one at least."""
        count = _GROUP_BYTES_MAX // max(1, len(rows[first].data))
        return rows[first : first + max(1, min(count, _GROUP_ROWS_MAX))]

    def decode(self, rows: Sequence[RawRow], defaults: Mapping[str, Any]) -> list[DecodedRow | None]:
        """The first rows, one or more of them, each decoded, or None when it needs a closer look.

        `defaults`: a value for each column whose field is not of this shape.
        """
        found: list[Any] = []
        try:
            # What stands before the row that raises is kept: extend takes one after the other.
            found.extend(map(self._decoder.decode, map(_data_of, rows)))
        except _UNREADABLE:
            decoded = self._decode_parts(rows[: len(found)], found, defaults)
            return [*decoded, None]
        return self._decode_parts(rows, found, defaults)

    def _decode_parts(
        self, rows: Sequence[RawRow], found: Sequence[Any], defaults: Mapping[str, Any]
    ) -> list[DecodedRow | None]:
        if not found:
            return []
        try:
            return list(self._in_rows(rows, found, defaults))
        except (*_UNREADABLE, BadValue, _DoubtError):
            if len(rows) == 1:
                return [None]
        half = len(rows) // 2
        first = self._decode_parts(rows[:half], found[:half], defaults)
        return first + self._decode_parts(rows[half:], found[half:], defaults)

    def _in_rows(self, rows: Sequence[RawRow], found: Sequence[Any], defaults: Mapping[str, Any]) -> "map[DecodedRow]":
        """All of them; raises when anything about any of them needs a closer look."""
        fields = list(zip(*map(msgspec.structs.astuple, map(_fields_of, found)), strict=True))
        keys = self._keys * len(rows)
        columns: _Columns = []
        for place, (column, source) in enumerate(self._columns):
            if source is None:
                columns.append([defaults[column.name]] * len(rows))
            elif place in self._json:
                texts, inner = zip(*map(self._json[place], fields[source]), strict=True)
                keys += sum(inner)
                columns.append(texts)
            else:
                columns.append(_converted(column.kind, fields[source]))
        for place in self._ignored_places:
            keys += sum(count_keys(msgspec.json.decode(bytes(raw))) for raw in fields[place])
        self._check_texts(rows, keys)
        values = zip(*columns, strict=True) if columns else repeat((), len(rows))
        return map(_decoded_row, zip(map(_ordinal_of, rows), map(_pk_of, found), values, strict=True))

    def _check_texts(self, rows: Sequence[RawRow], keys: int) -> None:
        """No text holds a NUL, and no key stands twice in one object.

        Without space every key is followed by `":`, in each row at least as often as it has distinct keys. So as many
        of these in all rows together as distinct keys means that no key stands twice in any of them; what stands in
        texts only adds to them. Taking all space away and counting once is quicker than looking for space before a
        colon.
        """
        text = b"".join(map(_data_of, rows)).translate(None, _SPACE)
        if b"\\u0000" in text or text.count(b'":') != keys:
            raise _DoubtError


class _DoubtError(Exception):
    """Among these rows may be one that is not as it seems."""


_ordinal_of = operator.attrgetter("ordinal")
_data_of = operator.attrgetter("data")
_pk_of = operator.attrgetter("pk")
_fields_of = operator.attrgetter("fields")
_zone_of = operator.attrgetter("tzinfo")


def _converted(kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """A column's values as they are handed on. Raises BadValue."""
    convert = CONVERTERS.get(kind)
    if convert is None or (kind is Kind.DATETIME and {UTC}.issuperset(map(_zone_of, filter(None, values)))):
        return values
    return [None if value is None else convert(value) for value in values]


def _json_reader(column: Column) -> Callable[[msgspec.Raw], tuple[str | None, int]]:
    """`json_value` for a column, which in many rows has the same few values: short ones are remembered."""
    known = lru_cache(_KNOWN_JSON_MAX)(lambda data: json_value(column, msgspec.Raw(data)))

    def read(raw: msgspec.Raw) -> tuple[str | None, int]:
        data = bytes(raw)
        return known(data) if len(data) <= _KNOWN_JSON_LENGTH_MAX else json_value(column, raw)

    return read
