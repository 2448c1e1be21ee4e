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
        keys = colons = self._keys * len(rows)
        columns: _Columns = []
        for place, (column, source) in enumerate(self._columns):
            if source is None:
                columns.append([defaults[column.name]] * len(rows))
            elif place in self._json:
                texts, inner_keys, inner_colons = zip(*map(self._json[place], fields[source]), strict=True)
                keys += sum(inner_keys)
                colons += sum(inner_colons)
                columns.append(texts)
            else:
                colons += _colons(column.kind, fields[source])
                columns.append(_converted(column.kind, fields[source]))
        for place in self._ignored_places:
            keys += sum(count_keys(msgspec.json.decode(bytes(raw))) for raw in fields[place])
        self._check_texts(rows, keys, colons)
        values = zip(*columns, strict=True) if columns else repeat((), len(rows))
        return map(_decoded_row, zip(map(_ordinal_of, rows), map(_pk_of, found), values, strict=True))

    def _check_texts(self, rows: Sequence[RawRow], keys: int, colons: int) -> None:
        """No text holds a NUL, and no key stands twice in one object.

        A colon stands behind each key or in a text. `colons` are those behind the keys that we know of, one of each
        name an object, and at most those in the texts that we know of, whose bytes are in the file as they are unless
        there is a backslash. So when there are no more than these, no second key of a name is left. This is quick, and
        says nothing of rows with backslashes or unknown fields; of these the keys themselves are counted.
        """
        text = b"".join(map(_data_of, rows))
        if not self.ignored and b"\\" not in text and text.count(b":") == colons:
            return
        if not _has_distinct_keys(text, keys) or b"\\u0000" in text:
            raise _DoubtError


def _has_distinct_keys(text: bytes, keys: int) -> bool:
    """Whether JSON whose objects have `keys` distinct keys together holds no key twice; False when in doubt.

    Without space every key is followed by `":`, at least as often as there are distinct keys in each object. So as many
    of these as distinct keys mean that no key stands twice in any object; what stands in texts only adds to them.
    Taking all space away and counting once is quicker than looking for space before a colon.
    """
    return text.translate(None, _SPACE).count(b'":') == keys


class _DoubtError(Exception):
    """Among these rows may be one that is not as it seems."""


_ordinal_of = operator.attrgetter("ordinal")
_data_of = operator.attrgetter("data")
_pk_of = operator.attrgetter("pk")
_fields_of = operator.attrgetter("fields")
_is_none = partial(operator.is_, None)
_zone_of = operator.attrgetter("tzinfo")


def _colons(kind: Kind, values: Sequence[Any]) -> int:
    """How many colons the texts of a column's values hold in the file, if there is no backslash; at most so many."""
    if kind is Kind.DATETIME:  # 22:59:55; an offset may have one more
        return 2 * (len(values) - sum(map(_is_none, values)))
    if kind in (Kind.TEXT, Kind.IP):
        return "".join(filter(None, values)).count(":")
    if kind is Kind.TEXT_ARRAY:
        return sum("".join(value).count(":") for value in values if value is not None)
    return 0


def _converted(kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """A column's values as they are handed on. Raises BadValue."""
    convert = CONVERTERS.get(kind)
    if convert is None or (kind is Kind.DATETIME and {UTC}.issuperset(map(_zone_of, filter(None, values)))):
        return values
    return [None if value is None else convert(value) for value in values]


def _json_reader(column: Column) -> Callable[[msgspec.Raw], tuple[str | None, int, int]]:
    """`json_value` for a column, and the colons in its JSON.

    In many rows a column has the same few values: short ones are remembered.
    """

    def read(data: bytes) -> tuple[str | None, int, int]:
        text, keys = json_value(column, msgspec.Raw(data))
        if not _has_distinct_keys(data, keys):
            raise _DoubtError
        return text, keys, data.count(b":")

    known = lru_cache(_KNOWN_JSON_MAX)(read)
    return lambda raw: (known if len(data := bytes(raw)) <= _KNOWN_JSON_LENGTH_MAX else read)(data)
