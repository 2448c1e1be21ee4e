"""How rows of a model become rows of a table: columns, references, unique sets and what a conflict leads to.

A target is data; shared.importing.statements makes the set statements of a batch from it. Everything in it is a
constant of the code, so composing SQL text of it is safe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from shared.importing.columns import columns_of
from shared.importing.decisions import WriteKind
from shared.importing.findings import FindingKind
from shared.importing.registry import Reference, models

PLANNED = "{planned}"
"""Stands behind the name of a table that `followed_by` writes to: a plan writes to another one."""


class Conflict(Enum):
    """What becomes of a row whose unique values are held already, in the target or by an earlier row of the batch."""

    SKIP = "skip"
    """It is not written."""
    MERGE = "merge"
    """The row that is there stands for it, unchanged."""
    OVERWRITE = "overwrite"
    """The row that is there gets its values; of several in the file, the first one's."""
    ADOPT = "adopt"
    """It is written onto the row that is there, which this import made; a second one in the file is not written."""
    SUFFIX = "suffix"
    """It is written under another name."""
    REPLACE = "replace"
    """It is written with a new random key; so is a row without a key."""
    RENEW = "renew"
    """It is written with the new values that the target's `renewal` has for it."""
    CLEAR = "clear"
    """It is written without the values."""


@dataclass(frozen=True)
class UniqueSet:
    """Columns that are unique together; the last one is what a conflict is about. `folded` ignores its case.

    `only`: an SQL condition over the row {0}, for rows that alone count.
    """

    columns: tuple[str, ...]
    conflict: Conflict
    folded: bool = False
    length_max: int = 0
    """SUFFIX: the longest name, in characters."""
    only: str = ""
    also_cleared: tuple[str, ...] = ()
    """CLEAR: columns that mean nothing without this one."""
    field: str = ""
    """The field that a finding names; "" for the last column's name."""
    told_as: WriteKind = WriteKind.KEY_REPLACED
    """RENEW: the kind of its finding."""
    made_up: bool = False
    """RENEW: a row without the value gets a new one too."""

    @property
    def subject(self) -> str:
        """The column that a conflict is about."""
        return self.columns[-1]

    @property
    def told_field(self) -> str:
        """The field that a finding names."""
        return self.field or self.subject


@dataclass(frozen=True)
class Minted:
    """A staged column whose values are made here: `mint(count)` gives as many texts."""

    column: str
    mint: Callable[[int], list[str]]


@dataclass(frozen=True)
class Derived:
    """A staged text column that is made from another one where it is absent or empty."""

    column: str
    source: str
    make: Callable[[str], str]


@dataclass(frozen=True)
class Packed:
    """What is staged in place of the model's columns: names with PostgreSQL types, and how values become them.

    All packed targets of a table share its temporary tables: `staged` and `values` are the columns of all of them.
    """

    columns: tuple[tuple[str, str], ...]
    pack: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    staged: tuple[tuple[str, str], ...]
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Target:
    """One model's table.

    `values`: column -> SQL over `s` (the staged row), `r_<field>.new_pk` (what a reference became),
    `o_<field>.organization_id` (of an owner), and the parameters import_id and now. `owners`: reference field -> table
    that has an organization_id; all owners of a row must agree. `nulled`: references that become null instead of
    costing the row. `snowflake`: new ids are taken from the allocator; otherwise from the table's identity.
    `packed`: what is staged instead of the model's columns. `renewal`: column -> SQL over its value and `carried`, when
    a unique set with RENEW is taken. `refused`: what is not written: kind -> field, and SQL condition over `s` and
    `r_<field>` (new_pk, decision). `made`: columns with values of our own, so that a row that is there and the
    same in all others is adopted as it is. `check`: what is wrong with a decoded row, as field and reason.
    `followed_by`: statements over `resolved` (the batch's result), run after the rows are written; they find the SQL
    text `carried` as its column `carried`.
    """

    model: str
    table: str
    values: Mapping[str, str]
    snowflake: bool = False
    unique: tuple[UniqueSet, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    nulled: frozenset[str] = frozenset()
    minted: tuple[Minted, ...] = ()
    derived: tuple[Derived, ...] = ()
    carried: str = "NULL::text"
    followed_by: tuple[str, ...] = ()
    packed: Packed | None = None
    renewal: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[FindingKind | WriteKind, tuple[str, str]] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    check: Callable[[tuple[Any, ...]], tuple[str, str] | None] | None = None

    @property
    def stage(self) -> str:
        """The temporary table that a batch is copied into."""
        return f"stage_{self.table}"

    @property
    def resolved(self) -> str:
        """The temporary table that holds what resolve decided."""
        return f"resolved_{self.table}"

    @property
    def references(self) -> tuple[Reference, ...]:
        """The model's foreign keys, from the registry."""
        return models()[self.model].references


def as_staged(model: str, *names: str) -> dict[str, str]:
    """Values of a target that are what the file has, for fields of the model."""
    known = {column.name for column in columns_of(model)}
    assert known.issuperset(names), f"{model} has no such columns: {set(names) - known}"
    return {name: f"s.{name}" for name in names}
