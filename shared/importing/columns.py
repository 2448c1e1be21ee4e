"""The columns of the models: what a value may be, and what stands for an absent one, read from the registry.

A value that passes its column's checks is accepted by PostgreSQL for the column's type, so a COPY of decoded rows
cannot fail on data. Lengths are the source's, in characters; e-mail columns take the later, longer form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.importing.registry import Model, Reference, models

SMALLINT_MAX = 2**15 - 1
INTEGER_MAX = 2**31 - 1
BIGINT_MAX = 2**63 - 1


class Kind(Enum):
    """What a column holds, and as what a decoded value is handed on."""

    TEXT = "text"
    INTEGER = "integer"
    BIT_FIELD = "bit field"
    """64 bits, exported as a string of digits; handed on as int."""
    REFERENCE = "reference"
    """The old pk of another row, an int."""
    FLOAT = "number"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    """Handed on as datetime in UTC."""
    UUID = "uuid"
    IP = "ip address"
    JSON = "json"
    """Any JSON value; handed on as compact JSON text, to be cast to jsonb."""
    TEXT_ARRAY = "text array"
    """Exported as an array or, by older versions, as its Python form in a string; handed on as list of str."""


class Default(Enum):
    """What stands for an absent field, where it is no plain value."""

    REQUIRED = "there is none: the field must be there"
    NOW = "the import's own time"
    ABSENT = "nothing: a row that is kept whole stays without the field"


@dataclass(frozen=True)
class Column:
    """One column; its name is the field's name in an export.

    `default` is a value as handed on, or one of Default. `maximum` and `minimum` bound INTEGER columns, `length_max`
    TEXT columns (0: only the file's own limit). `json_in_text`: older versions wrote the JSON as text inside a string.
    """

    name: str
    kind: Kind
    default: Any
    nullable: bool = False
    length_max: int = 0
    minimum: int = 0
    maximum: int = 0
    references: str = ""
    json_in_text: bool = False

    @property
    def staged_as(self) -> str:
        """The PostgreSQL type of the staging column; JSON is staged as text and cast."""
        if self.kind is Kind.INTEGER:
            return "int2" if self.maximum <= SMALLINT_MAX else "int4" if self.maximum <= INTEGER_MAX else "int8"
        return _STAGED_AS[self.kind]

    @property
    def wire_type(self) -> Any:
        """The msgspec type that a field's JSON must have; the finer checks are made on its result."""
        if self.kind is Kind.JSON:
            return msgspec.Raw
        if self.kind is Kind.TEXT:
            wire: Any = Annotated[str, Meta(max_length=self.length_max)] if self.length_max else str
        elif self.kind is Kind.INTEGER:
            wire = Annotated[int, Meta(ge=self.minimum, le=self.maximum)]
        else:
            wire = _WIRE_TYPES[self.kind]
        return wire | None if self.nullable else wire


_STAGED_AS = {
    Kind.TEXT: "text",
    Kind.BIT_FIELD: "int8",
    Kind.REFERENCE: "int8",
    Kind.FLOAT: "float8",
    Kind.BOOLEAN: "bool",
    Kind.DATETIME: "timestamptz",
    Kind.UUID: "uuid",
    Kind.IP: "text",
    Kind.JSON: "text",
    Kind.TEXT_ARRAY: "text[]",
}
_WIRE_TYPES: Mapping[Kind, Any] = {
    Kind.BIT_FIELD: str | Annotated[int, Meta(ge=-BIGINT_MAX - 1, le=BIGINT_MAX)],
    Kind.REFERENCE: Annotated[int, Meta(ge=1, le=BIGINT_MAX)],
    Kind.FLOAT: float,
    Kind.BOOLEAN: bool,
    Kind.DATETIME: Annotated[datetime, Meta(tz=True)],
    Kind.UUID: UUID,
    Kind.IP: str,
    Kind.TEXT_ARRAY: list[str] | str,
}


def columns_of(model: str) -> tuple[Column, ...]:
    """The columns of a known model, the pk apart, in the order of decoded values. KeyError for other models."""
    return COLUMNS[model]


def _columns(model: Model) -> tuple[Column, ...]:
    """The references, then the other fields."""
    references = tuple(_reference(each) for each in model.references)
    read = _kept if model.table is None else _column
    return references + tuple(read(name, spec) for name, spec in model.fields.items())


def _reference(reference: Reference) -> Column:
    default = None if reference.nullable else Default.REQUIRED
    return Column(reference.field, Kind.REFERENCE, default, nullable=reference.nullable, references=reference.model)


def _column(name: str, spec: str) -> Column:
    """A field with a column of its own, as models.toml says it: "text 64 null = member"."""
    words, _, default = spec.partition(" = ")
    kind, *rules = words.split()
    nullable = "null" in rules
    column = Column(
        name,
        _KINDS[kind],
        Default.REQUIRED if "required" in rules else _default(kind, default, nullable=nullable),
        nullable=nullable,
        length_max=next((int(rule) for rule in rules if rule.isdigit()), 0),
        maximum={"int2": SMALLINT_MAX, "int4": INTEGER_MAX, "int": BIGINT_MAX}.get(kind, 0),
        json_in_text="text" in rules,
    )
    assert column.kind is not Kind.TEXT or column.length_max, f"{name} needs a greatest length"
    return column


def _default(kind: str, text: str, *, nullable: bool) -> Any:
    if not text:
        return None if nullable else _ZEROS.get(kind, Default.REQUIRED)
    if text == "now":
        return Default.NOW
    return text if kind in ("text", "json") else msgspec.json.decode(text)


def _kept(name: str, spec: str) -> Column:
    """A field of a row that is kept whole: the type is checked; null and absence are left as they are."""
    kind, *rules = spec.split()
    return Column(
        name,
        _KINDS[kind],
        Default.ABSENT,
        nullable=True,
        minimum=-BIGINT_MAX - 1,
        maximum=BIGINT_MAX,
        json_in_text="text" in rules,
    )


_KINDS = {
    "text": Kind.TEXT,
    "int2": Kind.INTEGER,
    "int4": Kind.INTEGER,
    "int": Kind.INTEGER,
    "float": Kind.FLOAT,
    "bits": Kind.BIT_FIELD,
    "bool": Kind.BOOLEAN,
    "time": Kind.DATETIME,
    "uuid": Kind.UUID,
    "ip": Kind.IP,
    "json": Kind.JSON,
    "texts": Kind.TEXT_ARRAY,
}
_ZEROS: Mapping[str, Any] = {
    "text": "",
    "int2": 0,
    "int4": 0,
    "int": 0,
    "bits": 0,
    "bool": False,
    "time": Default.NOW,
    "json": "{}",
}

COLUMNS: Mapping[str, tuple[Column, ...]] = {name: _columns(model) for name, model in models().items()}
"""The columns of each model. The pk is none of them; order here is the order of decoded values."""
