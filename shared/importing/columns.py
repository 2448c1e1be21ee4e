"""The columns of the models that are imported: what a value may be, and what stands for an absent one.

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

from shared.importing.registry import models

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
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    """Handed on as datetime in UTC."""
    UUID = "uuid"
    JSON = "json"
    """Any JSON value; handed on as compact JSON text, to be cast to jsonb."""
    TEXT_ARRAY = "text array"
    """Exported as an array or, by older versions, as its Python form in a string; handed on as list of str."""


class Default(Enum):
    """What stands for an absent field, where it is no plain value."""

    REQUIRED = "there is none: the field must be there"
    NOW = "the import's own time"


@dataclass(frozen=True)
class Column:
    """One column; its name is the field's name in an export.

    `default` is a value as handed on, or one of Default. `maximum` and `minimum` bound INTEGER columns, `length_max`
    TEXT columns. `json_in_text`: older versions wrote the JSON as text inside a string.
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
            wire: Any = Annotated[str, Meta(max_length=self.length_max)]
        elif self.kind is Kind.INTEGER:
            wire = Annotated[int, Meta(ge=self.minimum, le=self.maximum)]
        else:
            wire = _WIRE_TYPES[self.kind]
        return wire | None if self.nullable else wire


_STAGED_AS = {
    Kind.TEXT: "text",
    Kind.BIT_FIELD: "int8",
    Kind.REFERENCE: "int8",
    Kind.BOOLEAN: "bool",
    Kind.DATETIME: "timestamptz",
    Kind.UUID: "uuid",
    Kind.JSON: "text",
    Kind.TEXT_ARRAY: "text[]",
}
_WIRE_TYPES: Mapping[Kind, Any] = {
    Kind.BIT_FIELD: str | Annotated[int, Meta(ge=-BIGINT_MAX - 1, le=BIGINT_MAX)],
    Kind.REFERENCE: Annotated[int, Meta(ge=1, le=BIGINT_MAX)],
    Kind.BOOLEAN: bool,
    Kind.DATETIME: Annotated[datetime, Meta(tz=True)],
    Kind.UUID: UUID,
    Kind.TEXT_ARRAY: list[str] | str,
}


def columns_of(model: str) -> tuple[Column, ...]:
    """The columns of a supported model, the pk apart, in the order of decoded values. KeyError for other models."""
    return COLUMNS[model]


def _text(name: str, length_max: int, default: Any = "", *, nullable: bool = False) -> Column:
    return Column(name, Kind.TEXT, default, nullable=nullable, length_max=length_max)


def _number(name: str, maximum: int, default: Any = 0, *, nullable: bool = False) -> Column:
    return Column(name, Kind.INTEGER, default, nullable=nullable, maximum=maximum)


def _bits(name: str, default: int = 0, *, nullable: bool = False) -> Column:
    return Column(name, Kind.BIT_FIELD, default, nullable=nullable)


def _flag(name: str, default: Any = False, *, nullable: bool = False) -> Column:
    return Column(name, Kind.BOOLEAN, default, nullable=nullable)


def _time(name: str, default: Any = Default.NOW, *, nullable: bool = False) -> Column:
    return Column(name, Kind.DATETIME, default, nullable=nullable)


def _reference(model: str, name: str) -> Column:
    reference = next(known for known in models()[model].references if known.field == name)
    default = None if reference.nullable else Default.REQUIRED
    return Column(name, Kind.REFERENCE, default, nullable=reference.nullable, references=reference.model)


COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "sentry.user": (
        _text("username", 128, Default.REQUIRED),
        _text("name", 200),
        _text("email", 200),
        _text("password", 128),
        _flag("is_active", True),
        _flag("is_staff"),
        _flag("is_superuser"),
        _flag("is_managed"),
        _flag("is_sentry_app", None, nullable=True),
        _flag("is_password_expired"),
        _flag("is_unclaimed"),
        _flag("is_suspended"),
        _bits("flags", nullable=True),
        _text("session_nonce", 12, None, nullable=True),
        _number("avatar_type", SMALLINT_MAX),
        _text("avatar_url", 120, None, nullable=True),
        _time("date_joined"),
        _time("last_login", None, nullable=True),
        _time("last_active", nullable=True),
        _time("last_password_change", None, nullable=True),
    ),
    "sentry.email": (
        _text("email", 200, Default.REQUIRED),
        _time("date_added"),
    ),
    "sentry.useremail": (
        _reference("sentry.useremail", "user"),
        _text("email", 200, Default.REQUIRED),
        _text("validation_hash", 32),
        _time("date_hash_added"),
        _flag("is_verified"),
    ),
    "sentry.organization": (
        _text("name", 64, Default.REQUIRED),
        _text("slug", 50, None, nullable=True),
        _number("status", INTEGER_MAX),
        _text("default_role", 32, "member"),
        _flag("is_test"),
        _bits("flags", 1),
        _time("date_added"),
    ),
    "sentry.organizationmember": (
        _reference("sentry.organizationmember", "organization"),
        _reference("sentry.organizationmember", "user_id"),
        _text("email", 200, None, nullable=True),
        _text("role", 32, "member"),
        _bits("flags"),
        _text("token", 64, None, nullable=True),
        _time("token_expires_at", None, nullable=True),
        _flag("has_global_access", True),
        _reference("sentry.organizationmember", "inviter_id"),
        _number("invite_status", SMALLINT_MAX, nullable=True),
        _number("type", INTEGER_MAX, 50),
        _flag("user_is_active", True),
        _text("user_email", 200, None, nullable=True),
        _time("date_added"),
    ),
    "sentry.team": (
        _reference("sentry.team", "organization"),
        _text("slug", 50, None, nullable=True),
        _text("name", 64, Default.REQUIRED),
        _number("status", INTEGER_MAX),
        _flag("idp_provisioned"),
        _time("date_added", nullable=True),
    ),
    "sentry.organizationmemberteam": (
        _reference("sentry.organizationmemberteam", "organizationmember"),
        _reference("sentry.organizationmemberteam", "team"),
        _flag("is_active", True),
        _text("role", 32, None, nullable=True),
    ),
    "sentry.project": (
        _reference("sentry.project", "organization"),
        _text("slug", 50, None, nullable=True),
        _text("name", 200, Default.REQUIRED),
        _text("platform", 64, None, nullable=True),
        _text("forced_color", 6, None, nullable=True),
        _flag("public"),
        _number("status", INTEGER_MAX),
        _bits("flags", 10, nullable=True),
        _time("first_event", None, nullable=True),
        _time("date_added"),
        _reference("sentry.project", "template"),
    ),
    "sentry.projectteam": (
        _reference("sentry.projectteam", "project"),
        _reference("sentry.projectteam", "team"),
    ),
    "sentry.projectkey": (
        _reference("sentry.projectkey", "project"),
        _text("label", 64, None, nullable=True),
        _text("public_key", 32, None, nullable=True),
        _text("secret_key", 32, None, nullable=True),
        _bits("roles", 1),
        _number("status", INTEGER_MAX),
        _number("rate_limit_count", INTEGER_MAX, None, nullable=True),
        _number("rate_limit_window", INTEGER_MAX, None, nullable=True),
        Column("data", Kind.JSON, "{}"),
        _text("use_case", 32, "user"),
        _time("date_added", nullable=True),
    ),
}
"""The columns of each supported model. The pk is none of them; order here is the order of decoded values."""
