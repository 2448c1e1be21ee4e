"""Decodes rows: the JSON of one object to checked values in column order, or to the findings that say what is wrong.

Rows of a model mostly have the same keys, so the decoder learns the shape of the last row and decodes the next with
one typed call; whatever that call does not accept goes, with the same column types, field by field. Both ways agree.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from shared.importing.columns import Column, Default, Kind, columns_of
from shared.importing.findings import Finding, FindingKind
from shared.importing.index import NO_MODEL, PK_MAX, IndexRecord, integer_pk, model_name
from shared.importing.registry import REMOVED_FIELDS, models
from shared.importing.upload import RawRow
from shared.importing.values import CONVERTERS, BadValue, count_keys, decode_field, json_value, repeated_key

_PARTS = frozenset({"model", "pk", "fields"})
_SPACE = b" \t\r\n"
_SHAPES_MAX = 16
_SHAPE_FIELDS_MAX = 100
_IGNORED_FIELDS_MAX = 100
_UNKNOWN = Column("", Kind.JSON, Default.ABSENT, nullable=True)
_ANY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SKIP_REASONS = {
    FindingKind.UNKNOWN_MODEL: "no such model is known",
    FindingKind.MODEL_REMOVED: "later versions of the source have no such model",
    FindingKind.OUT_OF_SCOPE: "the import's scope does not take this model",
}


class DecodedRow(NamedTuple):
    """One good row: `values` in the order of `columns_of(model)`, references as old pks, every default filled in.

    A row that is kept whole may have one value more: its unknown fields, name to JSON.
    """

    ordinal: int
    pk: int
    values: tuple[Any, ...]


class DecodedRows(NamedTuple):
    """The good rows in file order, and what is wrong with the others (at least one finding each)."""

    rows: list[DecodedRow]
    findings: list[Finding]


class RowDecoder:
    """Decodes the rows of one model; `now` stands for absent times, so give the import's own and retries are exact.

    Ignored fields are gathered over several `decode` calls and told once, by `take_ignored_fields`.
    """

    def __init__(self, model: str, now: datetime) -> None:
        """KeyError for an unknown model."""
        self.model = model
        self.columns = columns_of(model)
        self._now = now
        self._keeps_unknown = models()[model].table is None
        self._decoders = {column.name: msgspec.json.Decoder(column.wire_type) for column in self.columns}
        self._shapes: dict[frozenset[str], _Shape] = {}
        self._shape: _Shape | None = None
        self._ignored: dict[str, _Ignored] = {}

    def decode(self, rows: Iterable[RawRow]) -> DecodedRows:
        """Decode rows as `UploadedFile.rows` gives them."""
        good: list[DecodedRow] = []
        findings: list[Finding] = []
        for row in rows:
            decoded = self._shape.decode(row) if self._shape else None
            if decoded is not None:
                if self._shape and self._shape.ignored:
                    self._note_ignored(row, self._shape.ignored)
            else:
                try:
                    decoded = self._decode_by_field(row)
                except _RowRefused as refused:
                    findings.extend(refused.findings)
                    continue
            good.append(decoded)
        return DecodedRows(good, findings)

    def take_ignored_fields(self) -> list[Finding]:
        """A finding for each field that was ignored since the last call, at the first row that has it."""
        findings = [
            ignored.finding(self.model, name, kept=self._keeps_unknown) for name, ignored in self._ignored.items()
        ]
        self._ignored = {}
        return findings

    def _decode_by_field(self, row: RawRow) -> DecodedRow:
        parts = self._parts(row)
        pk = integer_pk(bytes(parts.get("pk", b"")))
        findings: list[Finding] = []

        def tell(kind: FindingKind, field: str, reason: str) -> None:
            findings.append(Finding.of(kind, self.model, row.ordinal, pk=pk, field=field, reason=reason))

        if pk is None:
            tell(FindingKind.INVALID_PK, "pk", "expected an integer in 1..2^63-1")
        try:
            fields = _ANY.decode(bytes(parts.get("fields", b"")))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            tell(FindingKind.INVALID_OBJECT, "fields", "expected an object")
            fields = {}
        else:
            values = [self._value(column, fields, tell) for column in self.columns]
        if findings or pk is None:
            raise _RowRefused(findings)
        unknown = [name for name in fields if name not in self._decoders]
        kept = self._unknown_values(unknown, fields, tell) if self._keeps_unknown else {}
        if findings:
            raise _RowRefused(findings)
        unknown += [name for name in parts if name not in _PARTS]
        self._note_ignored(row, unknown)
        if parts.keys() == _PARTS and not kept:
            self._learn(list(fields))
        return DecodedRow(row.ordinal, pk, (*values, kept) if kept else tuple(values))

    def _unknown_values(
        self, names: Sequence[str], fields: dict[str, msgspec.Raw], tell: Callable[[FindingKind, str, str], None]
    ) -> dict[str, msgspec.Raw]:
        """The JSON of unknown fields that are kept, checked like any other."""
        kept = {}
        for name in names:
            if name in REMOVED_FIELDS.get(self.model, ()):
                continue
            try:
                value, _ = json_value(_UNKNOWN, fields[name])
                if "\0" in name:
                    raise BadValue("the field's name holds a NUL character")
                kept[name] = msgspec.Raw((value or "null").encode())
            except BadValue as error:
                tell(FindingKind.INVALID_VALUE, name, str(error))
        return kept

    def _parts(self, row: RawRow) -> dict[str, msgspec.Raw]:
        """The object's parts as raw JSON; refuses the row when it cannot be decoded or has a key twice."""
        field = ""
        try:
            parts = _ANY.decode(row.data)
            twice = repeated_key(row.data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            reason = _why_unreadable(error)
        else:
            if twice is None:
                return parts
            field, reason = twice, "the key stands twice in one object"
        kind = FindingKind.INVALID_OBJECT
        raise _RowRefused([Finding.of(kind, self.model, row.ordinal, pk=row.pk, field=field, reason=reason)])

    def _value(
        self, column: Column, fields: dict[str, msgspec.Raw], tell: Callable[[FindingKind, str, str], None]
    ) -> Any:
        raw = fields.get(column.name)
        if raw is None:
            if column.default is Default.REQUIRED:
                tell(FindingKind.MISSING_FIELD, column.name, "the field is missing and has no default")
            return self._default(column)
        try:
            return decode_field(column, self._decoders[column.name], raw)
        except BadValue as error:
            tell(FindingKind.INVALID_VALUE, column.name, str(error))
            return None

    def _default(self, column: Column) -> Any:
        return self._now if column.default is Default.NOW else column.default

    def _learn(self, names: list[str]) -> None:
        """Decode rows with exactly these fields by one typed call from now on."""
        key = frozenset(names)
        shape = self._shapes.get(key)
        if shape is None and len(self._shapes) < _SHAPES_MAX and len(names) <= _SHAPE_FIELDS_MAX:
            defaults = {column.name: self._default(column) for column in self.columns}
            try:
                shape = _Shape(self.columns, names, defaults)
            except ValueError:  # a field name that a struct cannot have
                return
            self._shapes[key] = shape
        if shape is not None:
            self._shape = shape

    def _note_ignored(self, row: RawRow, names: Sequence[str]) -> None:
        for name in names:
            ignored = self._ignored.get(name)
            if ignored is not None:
                ignored.rows += 1
            elif len(self._ignored) < _IGNORED_FIELDS_MAX:
                self._ignored[name] = _Ignored(row.ordinal, row.pk)


def skipped_row(model: str, record: IndexRecord | RawRow, kind: FindingKind) -> Finding:
    """The finding of a row that is not written because of its model (`kind` from registry.why_skipped)."""
    return Finding.of(kind, model, record.ordinal, pk=record.pk, reason=_SKIP_REASONS[kind])


def unreadable_object(row: RawRow) -> Finding:
    """The finding of an object without a readable model; its ordinal is its place in the file."""
    kind, field = FindingKind.INVALID_OBJECT, ""
    try:
        parts = _ANY.decode(row.data)
        text = msgspec.json.decode(bytes(parts["model"]), type=str)
    except KeyError:
        reason = "the object has no model"
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = _why_unreadable(error)
    else:
        field = "model"
        reason = "expected a model's name, app.model" if model_name(text) is None else "the object cannot be decoded"
    return Finding.of(kind, NO_MODEL, row.position, field=field, reason=reason)


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the object is not UTF-8"
    return f"the object cannot be decoded: {error}"


class _RowRefused(Exception):
    """Carries findings; it tells of no error of ours."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        super().__init__()


class _Ignored:
    def __init__(self, ordinal: int, pk: int | None) -> None:
        self.ordinal, self.pk, self.rows = ordinal, pk, 1

    def finding(self, model: str, field: str, *, kept: bool) -> Finding:
        removed = field in REMOVED_FIELDS.get(model, ())
        kind = FindingKind.FIELD_REMOVED if removed else FindingKind.UNKNOWN_FIELD
        what = "later versions of the source have no such field" if removed else "no such field is known"
        done = "kept as it is" if kept and not removed else "ignored"
        reason = f"{what}; {done} in {self.rows} row{'s' if self.rows > 1 else ''}"
        return Finding.of(kind, model, self.ordinal, pk=self.pk, field=field, reason=reason)


class _Shape:
    """Rows with exactly these fields: typed, all required, none else allowed, in the order of the file."""

    def __init__(self, columns: Sequence[Column], names: list[str], defaults: dict[str, Any]) -> None:
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
        row = msgspec.defstruct("Row", [("model", str), ("pk", pk), ("fields", fields)], forbid_unknown_fields=True)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._keys = len(_PARTS) + len(names)
        self.ignored = [name for name in names if name not in by_name]
        self._ignored_places = [place for place, name in enumerate(names) if name not in by_name]
        absent = [column.name for column in columns if column.name not in names]
        self._defaults = tuple(defaults[name] for name in absent)
        source = {name: place for place, name in enumerate([*names, *absent])}
        # One more index, so that the getter gives a tuple for a single column too; it is cut off again.
        self._in_column_order = operator.itemgetter(*(source[column.name] for column in columns), 0)
        present = [(place, column) for place, column in enumerate(columns) if column.name not in absent]
        self._json = [(place, column) for place, column in present if column.kind is Kind.JSON]
        self._convert = [(place, CONVERTERS[column.kind]) for place, column in present if column.kind in CONVERTERS]

    def decode(self, row: RawRow) -> DecodedRow | None:
        """The row, or None when it is not of this shape or anything about it needs a closer look."""
        data = row.data
        if b"\\u0000" in data:
            return None
        try:
            decoded = self._decoder.decode(data)
            fields = msgspec.structs.astuple(decoded.fields)
            values = list(self._in_column_order(fields + self._defaults))
            del values[-1]
            keys = self._keys
            for place, column in self._json:
                values[place], inner = json_value(column, values[place])
                keys += inner
            for place, convert in self._convert:
                if values[place] is not None:
                    values[place] = convert(values[place])
            for place in self._ignored_places:
                keys += count_keys(msgspec.json.decode(bytes(fields[place])))
        except (msgspec.MsgspecError, UnicodeDecodeError, BadValue):
            return None
        # Without space every key is followed by `":`, so as many of these as distinct keys means that no key stands
        # twice. Taking all space away and counting once is quicker than looking for space before a colon.
        if data.translate(None, _SPACE).count(b'":') != keys:
            return None
        return DecodedRow(row.ordinal, decoded.pk, tuple(values))
