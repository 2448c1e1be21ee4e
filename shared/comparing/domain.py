"""The words of a comparison between control and a region.

Rows are put into one text in a fixed way, in both silos by the same expression, so equal rows have equal digests. A
range is open at its lower end: (after, last].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

KEY_MAX = 2**63 - 1
RANGE_ROWS = 1000
"""Rows of control's that make a range."""

RANGES_MAX = 10
"""Ranges of one call."""

RANGE_ROWS_MAX = 4 * RANGE_ROWS
"""Where a digest gives up counting: a range with more rows than that differs anyway."""

LISTED_MAX = 1000
SUBJECTS_MAX = 100


class Kind(Enum):
    """What is compared; the values are stable, for they stand in rows and on the wire."""

    TOKEN = "token"  # noqa: S105 - a word, no secret
    REGION = "region"
    ORGANIZATION = "organization"
    SLUG = "slug"


class KeyRange(NamedTuple):
    """The keys above `after`, up to `last`."""

    after: int
    last: int


class Digest(NamedTuple):
    """How many rows a range has, and the SHA-256 of their texts in the order of the keys."""

    rows: int
    digest: bytes


class Bucket(NamedTuple):
    """The next rows of a silo as a range with its digest."""

    last: int
    digest: Digest


class Listed(NamedTuple):
    """One row of a range."""

    key: int
    subject: str
    digest: bytes


class Row(NamedTuple):
    """A row as it is compared. `shown` is JSON for people, without secrets.

    `counted` says whether the row is compared at all: an organization has no part in it before its first slug. With
    `elsewhere` it is not compared because control gives it to other regions than the one that is looked at.
    """

    version: int
    digest: bytes
    shown: str
    counted: bool
    elsewhere: bool = False


@dataclass(frozen=True)
class Look:
    """Some subjects at one time: the rows that exist, and for which subjects something is on its way.

    The rows are read before what is on its way, so a change that is in neither was delivered before the look.
    """

    rows: Mapping[str, Row] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()

    def counted(self, subject: str) -> Row | None:
        """The row if it has a part in the comparison."""
        row = self.rows.get(subject)
        return row if row is not None and row.counted else None
