"""Decodes rows: the JSON of one object to checked values in column order, or to the findings that say what is wrong.

Rows of a model mostly have the same keys, so the decoder learns the shape of the last row and decodes the next ones
together; whatever is not accepted there goes, with the same column types, field by field. Both ways agree.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec

from shared.importing.columns import Column, Default, Kind, columns_of
from shared.importing.findings import Finding, FindingKind
from shared.importing.index import NO_MODEL, IndexRecord, integer_pk, model_name
from shared.importing.registry import REMOVED_FIELDS, models
from shared.importing.shapes import PARTS, DecodedRow, Shape
from shared.importing.upload import RawRow
from shared.importing.values import BadValue, decode_field, json_value, repeated_key

_SHAPES_MAX = 16
_KNOWN_SHAPES_MAX = 128
_SHAPE_FIELDS_MAX = 100
_IGNORED_FIELDS_MAX = 100
_UNKNOWN = Column("", Kind.JSON, Default.ABSENT, nullable=True)
_ANY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SKIP_REASONS = {
    FindingKind.UNKNOWN_MODEL: "no such model is known",
    FindingKind.MODEL_REMOVED: "later versions of the source have no such model",
    FindingKind.OUT_OF_SCOPE: "the import's scope does not take this model",
}


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
        self._decoders = _field_decoders(model)
        self._defaults = {column.name: self._default(column) for column in self.columns}
        self._shapes: dict[frozenset[str], Shape] = {}
        self._shape: Shape | None = None
        self._ignored: dict[str, _Ignored] = {}

    def decode(self, rows: Iterable[RawRow]) -> DecodedRows:
        """Decode rows as `UploadedFile.rows` gives them."""
        waiting = rows if isinstance(rows, list) else list(rows)
        good: list[DecodedRow] = []
        findings: list[Finding] = []
        done = 0
        while done < len(waiting):
            shape = self._shape
            group = shape.group(waiting, done) if shape else waiting[done : done + 1]
            decoded = shape.decode(group, self._defaults) if shape else [None]
            done += len(decoded)
            for row, typed in zip(group, decoded, strict=False):
                known = typed or self._looked_at(row, findings)
                if known is not None:
                    good.append(known)
                if typed and shape and shape.ignored:
                    self._note_ignored(row, shape.ignored)
        return DecodedRows(good, findings)

    def take_ignored_fields(self) -> list[Finding]:
        """A finding for each field that was ignored since the last call, at the first row that has it."""
        findings = [
            ignored.finding(self.model, name, kept=self._keeps_unknown) for name, ignored in self._ignored.items()
        ]
        self._ignored = {}
        return findings

    def _looked_at(self, row: RawRow, findings: list[Finding]) -> DecodedRow | None:
        """The row, or None when it is refused; what is wrong is added to the findings."""
        try:
            return self._decode_by_field(row)
        except _RowRefused as refused:
            findings.extend(refused.findings)
            return None

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
        unknown += [name for name in parts if name not in PARTS]
        self._note_ignored(row, unknown)
        if parts.keys() == PARTS and not kept:
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
            try:
                shape = self._shape_of(names)
            except ValueError:  # a field name that a struct cannot have
                return
            self._shapes[key] = shape
        if shape is not None:
            self._shape = shape

    def _shape_of(self, names: Sequence[str]) -> Shape:
        if self._decoders.keys() >= set(names):
            return _known_shape(self.model, tuple(names))
        return Shape(self.columns, names)

    def _note_ignored(self, row: RawRow, names: Sequence[str]) -> None:
        for name in names:
            ignored = self._ignored.get(name)
            if ignored is not None:
                ignored.rows += 1
            elif len(self._ignored) < _IGNORED_FIELDS_MAX:
                self._ignored[name] = _Ignored(row.ordinal, row.pk)


@cache
def _field_decoders(model: str) -> Mapping[str, "msgspec.json.Decoder[Any]"]:
    return {column.name: msgspec.json.Decoder(column.wire_type) for column in columns_of(model)}


@lru_cache(_KNOWN_SHAPES_MAX)
def _known_shape(model: str, names: tuple[str, ...]) -> Shape:
    """For more than one import: names that are columns', and nothing else that a file may hold, stay in memory."""
    return Shape(columns_of(model), names)


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
