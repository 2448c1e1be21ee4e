"""A region as control knows it, and the rules of the directory: names and numbers are unique and never change hands.

A number is part of every id that its region has given out, so it stays with the name for ever. A region that is
draining keeps what it has and gets no new organizations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from shared.errors import RegionNumberTaken


@dataclass(frozen=True)
class Region:
    """One region silo; addresses are "host:port", the internal one for control, the public one for clients."""

    name: str
    number: int
    internal_address: str
    public_address: str


class RegionState(Enum):
    """Whether a region gets new organizations; the values stand in the rows."""

    ACTIVE = "active"
    DRAINING = "draining"


@dataclass(frozen=True)
class ShownRegion:
    """A region as clients see it. `organization_count` counts the organizations that are mapped to it."""

    name: str
    number: int
    public_address: str
    state: RegionState
    organization_count: int
    updated_at: datetime


def check_numbers(known: Iterable[Region], given: Iterable[Region]) -> None:
    """Raise RegionNumberTaken when two regions, known or given, share a number, or one would change its own."""
    number_of: dict[str, int] = {}
    name_of: dict[int, str] = {}
    for region in (*known, *given):
        holder = name_of.setdefault(region.number, region.name)
        if holder != region.name:
            raise RegionNumberTaken(
                f"region {region.name} cannot have number {region.number}: it is {holder}'s",
                metadata={"region": region.name, "number": str(region.number), "holder": holder},
            )
        number = number_of.setdefault(region.name, region.number)
        if number != region.number:
            raise RegionNumberTaken(
                f"region {region.name} has number {number} for ever, not {region.number}",
                metadata={"region": region.name, "number": str(region.number), "holder": region.name},
            )
