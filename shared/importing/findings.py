"""What is worth telling about one row of an import, as data: the kinds, and which of them cost the row.

A finding is told once, never raised. Its texts come from the file, so they are cut to a length and freed of NUL here: a
finding can always be stored.
"""

from dataclasses import dataclass
from enum import Enum

_TEXT_MAX = 500
_NAME_MAX = 100


class Severity(Enum):
    """What became of the row."""

    ERROR = "error"
    """Not written, because of what it holds."""
    SKIPPED = "skipped"
    """Not written, by a rule."""
    WARNING = "warning"
    """Written, but not with everything that the file has."""


class FindingKind(Enum):
    """The stable names of findings."""

    INVALID_OBJECT = "invalid_object"
    """The object cannot be decoded, lacks a part, or has a key twice."""
    INVALID_PK = "invalid_pk"
    """The pk is no integer in 1..2^63-1."""
    INVALID_VALUE = "invalid_value"
    """A field's value does not fit its column."""
    MISSING_FIELD = "missing_field"
    """A field without a default is absent."""
    REPEATED_PK = "repeated_pk"
    """An earlier row of the model has the same pk."""
    MISSING_REFERENCE = "missing_reference"
    """A row that this one refers to was not imported."""
    UNKNOWN_MODEL = "unknown_model"
    """No version that we know has such a model."""
    MODEL_REMOVED = "model_removed"
    """Later versions of the source have no such model; its rows are dropped there too."""
    OUT_OF_SCOPE = "out_of_scope"
    """The import's scope does not take the model."""
    NULLED_REFERENCE = "nulled_reference"
    """A reference to a row that was not imported is now null."""
    UNKNOWN_FIELD = "unknown_field"
    """A field that we do not know; its values are ignored."""
    FIELD_REMOVED = "field_removed"
    """A field that later versions of the source no longer have; its values are ignored."""
    FILTERED_OUT = "filtered_out"
    """Rows of the model that a filter does not name, or that refer to such rows; one finding tells of all."""
    NOT_IN_FILE = "not_in_file"
    """A filter names what the file does not hold."""
    ID_REPLACED = "id_replaced"
    """The row was to keep its id, which another row has; it has a new one."""


_SKIPPED = frozenset(
    {
        FindingKind.UNKNOWN_MODEL,
        FindingKind.MODEL_REMOVED,
        FindingKind.OUT_OF_SCOPE,
        FindingKind.MISSING_REFERENCE,
        FindingKind.REPEATED_PK,
        FindingKind.FILTERED_OUT,
    }
)
_WARNINGS = frozenset(
    {
        FindingKind.NULLED_REFERENCE,
        FindingKind.UNKNOWN_FIELD,
        FindingKind.FIELD_REMOVED,
        FindingKind.NOT_IN_FILE,
        FindingKind.ID_REPLACED,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one row; `model` is "" and `ordinal` the place in the file where no model can be read.

    `ordinal` is otherwise the row's place, from 1, among its model's rows in the file; `pk` is None when the row has
    none that is valid; `field` is "" when the row as a whole is meant.
    """

    kind: FindingKind
    model: str
    ordinal: int
    pk: int | None
    field: str
    reason: str
    severity: Severity

    @classmethod
    def of(
        cls, kind: FindingKind, model: str, ordinal: int, *, pk: int | None = None, field: str = "", reason: str
    ) -> "Finding":
        """A finding with its kind's severity and texts that every store accepts."""
        return cls(kind, model, ordinal, pk, storable(field, _NAME_MAX), storable(reason, _TEXT_MAX), severity_of(kind))


def severity_of(kind: FindingKind) -> Severity:
    """What a finding of this kind means for its row."""
    if kind in _WARNINGS:
        return Severity.WARNING
    return Severity.SKIPPED if kind in _SKIPPED else Severity.ERROR


def storable(text: str, length_max: int) -> str:
    """Text without NUL and lone surrogates, at most `length_max` characters long."""
    if "\0" in text or not text.isascii():
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return text if len(text) <= length_max else f"{text[: length_max - 1]}…"
