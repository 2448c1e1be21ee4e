"""What the importer does with a row, and what it tells about it: the words that ledgers, chunks and answers hold.

Numbers and kinds are stored, so they never change their meaning. A chunk's counts always sum up to its rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum, IntEnum
from functools import partial
from typing import NamedTuple, Self

from shared.importing.findings import Finding, FindingKind, Severity, severity_of, storable

_REASON_MAX = 500


class Decision(IntEnum):
    """What was done with a row that stands in the target; a row without a decision was skipped."""

    INSERT = 1
    MERGE = 2
    OVERWRITE = 3
    SUFFIX = 4


class WriteKind(Enum):
    """Findings that only the target can tell; those of reading are shared.importing.findings.FindingKind."""

    NOT_UNIQUE = "NOT_UNIQUE"
    """Another row holds the same unique values."""
    FOREIGN_REFERENCE = "FOREIGN_REFERENCE"
    """Two rows that this one joins belong to different organizations."""
    EXISTING_USER = "EXISTING_USER"
    """Its user was there before the import and is left as it was."""
    EXCLUDED_OPTION = "EXCLUDED_OPTION"
    """An option by which an installation knows itself: it stays with that installation."""
    SUFFIXED = "SUFFIXED"
    """The name is taken; the row has another one."""
    KEY_REPLACED = "KEY_REPLACED"
    """The key is missing or taken; the row has a new one."""
    DRIFTED = "DRIFTED"
    """What is true now is not what the plan said."""
    TOKEN_CLEARED = "TOKEN_CLEARED"  # noqa: S105 - a kind's name
    """The token is taken; the row has none."""
    KEPT_CHANGED = "KEPT_CHANGED"
    """Undone, it stays: it is not as the import left it."""
    KEPT_REFERRED = "KEPT_REFERRED"
    """Undone, it stays: something refers to it."""
    KEPT_MEMBER = "KEPT_MEMBER"
    """Undone, the user stays: an organization has the user."""
    KEPT_WITH_USER = "KEPT_WITH_USER"
    """Undone, it stays with the user whose own it is."""


@dataclass(frozen=True)
class BatchFinding:
    """One thing about one row, as stored. `pk` is the pk in the file as text, "" when it has none that is valid."""

    kind: str
    model: str
    ordinal: int
    pk: str
    field: str
    reason: str
    skipped: bool

    @property
    def severity(self) -> Severity:
        """What it means for the row. What the target refuses is left out by its rules."""
        if not self.skipped:
            return Severity.WARNING
        if self.kind == WriteKind.DRIFTED.value:
            return Severity.ERROR
        kind = FindingKind.__members__.get(self.kind)
        return Severity.SKIPPED if kind is None else severity_of(kind)

    @classmethod
    def of_row(cls, finding: Finding) -> Self:
        """What reading the row found."""
        return cls(
            finding.kind.name,
            finding.model,
            finding.ordinal,
            "" if finding.pk is None else str(finding.pk),
            finding.field,
            finding.reason,
            finding.severity is not Severity.WARNING,
        )

    @classmethod
    def of_write(cls, kind: str, model: str, ordinal: int, pk: int, *, field: str, reason: str, skipped: bool) -> Self:
        """What writing the row found."""
        return cls(kind, model, ordinal, str(pk), field, storable(reason, _REASON_MAX), skipped)


@dataclass(frozen=True)
class Counts:
    """Rows of one model by what was done with them."""

    inserted: int = 0
    merged: int = 0
    overwritten: int = 0
    suffixed: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, decisions: Mapping[int, int], rows: int) -> Self:
        """From the number of rows by decision; the rest of `rows` was skipped."""
        return cls(
            decisions.get(Decision.INSERT, 0),
            decisions.get(Decision.MERGE, 0),
            decisions.get(Decision.OVERWRITE, 0),
            decisions.get(Decision.SUFFIX, 0),
            rows - sum(decisions.values()),
        )

    def tried_again(self, rows: int, again: Self) -> Self:
        """The counts of a chunk when `rows` of its skipped rows were tried again, with that outcome."""
        added = {each.name: getattr(self, each.name) + getattr(again, each.name) for each in fields(self)}
        return type(self)(**{**added, "skipped": added["skipped"] - rows})

    @property
    def standing(self) -> int:
        """The rows that stand in the target."""
        return self.total - self.skipped

    @property
    def total(self) -> int:
        """All rows."""
        return sum(getattr(self, each.name) for each in fields(self))


class LedgerRow(NamedTuple):
    """A row of the pk map: a row of the file that stands in the target. `suffixed` is the name it got, for SUFFIX."""

    ordinal: int
    old_pk: int
    new_pk: int
    decision: int
    suffixed: str | None


_ledger_row: Callable[[tuple[int, int, int, int, str | None]], LedgerRow] = partial(tuple.__new__, LedgerRow)


def ledger_rows(rows: Iterable[tuple[int, int, int, int, str | None]]) -> list[LedgerRow]:
    """Rows of their values, made without a call each."""
    return list(map(_ledger_row, rows))


def count_errors(findings: Iterable[BatchFinding]) -> int:
    """How many of the findings are errors."""
    return sum(each.severity is Severity.ERROR for each in findings)


def count_decisions(rows: Iterable[LedgerRow]) -> dict[int, int]:
    """The number of rows by decision."""
    return Counter(row.decision for row in rows)
