"""What a region knows of the others, and what it may conclude from an organization's key alone.

Only layout 2 says where an id's organization was made; in layout 1 the number may be control's. A key that is neither
a snowflake nor shaped like a slug is nobody's, so control is not asked for it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from shared.errors import RegionNumberTaken
from shared.names import Key
from shared.snowflake.domain import LAYOUT_2, NotASnowflakeError, describe

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,48}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True)
class RegionEntry:
    """A region of the directory; `public_address` is where clients reach it, "host:port"."""

    name: str
    number: int
    public_address: str
    version: int


@dataclass(frozen=True)
class Owner:
    """The region that owns an organization, and where clients reach it."""

    organization_id: int
    region: str
    address: str


class Ask(Enum):
    """Who can tell the owner of a key."""

    NOBODY = auto()
    DIRECTORY = auto()
    CONTROL = auto()


def whom_to_ask(key: Key) -> tuple[Ask, int]:
    """Who can tell, and for the directory the number of the region that made the id (else 0)."""
    if isinstance(key, str):
        return (Ask.CONTROL if _SLUG.fullmatch(key) and not key.isdigit() else Ask.NOBODY), 0
    try:
        parts = describe(key)
    except NotASnowflakeError:
        return Ask.NOBODY, 0
    return (Ask.DIRECTORY, parts.region) if parts.layout == LAYOUT_2.number else (Ask.CONTROL, 0)


def check_number(entries: Iterable[RegionEntry], *, name: str, number: int) -> None:
    """Raise RegionNumberTaken when the directory gives this region another number, or its number to another region.

    Rule: spec/hybrid.md F4; ids of two regions with one number would collide.
    """
    for entry in entries:
        if (entry.name == name) != (entry.number == number):
            raise RegionNumberTaken(
                f"region {name} runs with number {number}, but in the directory {entry.name} has number {entry.number}",
                metadata={"region": name, "number": str(number), "holder": entry.name},
            )
