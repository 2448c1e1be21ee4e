"""What the doctor speaks of: checks and their findings, records of two silos that can be compared, places of ids.

A check looks at rows in the order of their keys, a bounded number at a time, and never locks them. A silo has one list
of checks; whoever adds one adds it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeAlias

Key: TypeAlias = tuple[str | int, ...]
"""The columns by which a row is told from all others: texts or numbers."""

AGE_MIN = timedelta(minutes=1)
"""Rows that changed less than this ago may still be on their way."""


class When(Enum):
    """When a check must hold: at every commit, or once nothing is on its way."""

    ALWAYS = "always"
    QUIET = "quiet"


@dataclass(frozen=True)
class Found:
    """A row that is not as it must be."""

    key: Key
    says: str


@dataclass(frozen=True)
class Looked:
    """What a look at the next rows has shown; `last` is the last row's key, None when there were none."""

    findings: tuple[Found, ...]
    row_count: int
    last: Key | None


@dataclass(frozen=True)
class OrganizationRecord:
    """What a silo knows of an organization. Slugs are empty for none; `change_set` is of the request that made it.

    `purge_at` is set for one that is to be deleted; one whose purge has begun is in flight.
    """

    organization_id: int
    region: str
    slug: str
    primary_slug: str
    fence_version: int
    version: int
    name: str
    state: str
    change_set: str = ""
    in_flight: bool = False
    purge_at: datetime | None = None


@dataclass(frozen=True)
class TokenRecord:
    """What a silo knows of a token. Version 0: a replica that nobody has confirmed since epochs were agreed on anew."""

    token_id: int
    version: int
    revoked: bool
    in_flight: bool = False


@dataclass(frozen=True)
class IdPlace:
    """A position in the ids of one layout and number."""

    layout: int
    number: int
    position: int


@dataclass(frozen=True)
class Peer:
    """Another silo, and the epoch of it that is accepted."""

    silo: str
    epoch: str
    agreed_at: datetime


@dataclass(frozen=True)
class Life:
    """The life of a silo's database. `highest` are the highest ids of each number in its tables."""

    silo: str
    epoch: str
    restored_at: datetime | None
    marks: tuple[IdPlace, ...]
    highest: tuple[IdPlace, ...]
    peers: tuple[Peer, ...]
    waiting: int


@dataclass(frozen=True)
class Repaired:
    """What became of findings, by their keys as text."""

    repaired: tuple[str, ...]
    gone: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Agreed:
    """How many messages were queued for the peer."""

    resent: int


@dataclass(frozen=True)
class Opened:
    """Where ids go on."""

    marks: tuple[IdPlace, ...]


def key_text(key: Key) -> str:
    """The key as one text; only the last part may hold a space."""
    return " ".join(map(str, key))


def parse_key(text: str, types: Sequence[type]) -> Key | None:
    """The key of a text, or None when it is none."""
    parts = text.split(" ", len(types) - 1)
    if len(parts) != len(types):
        return None
    try:
        return tuple(int(part) if kind is int else part for part, kind in zip(parts, types, strict=True))
    except ValueError:
        return None
