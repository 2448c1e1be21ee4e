"""The life of an organization's slug reservations, as a function of state and event, and the choice of free slugs.

No slug is dropped while a region may still apply it: a TEMPORARY one ends only by the region's answer with its own
fence version. Every other answer is late or repeated, and changes nothing. Each new hold has a higher fence version
than all before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from random import Random

from shared import errors, slugs

LENGTH_MAX = slugs.ORGANIZATION_LENGTH_MAX


class ReservationType(IntEnum):
    """The role of a slug for its holder, by the numbers in the rows."""

    PRIMARY = 0
    VANITY_ALIAS = 1
    TEMPORARY_RENAME_ALIAS = 2
    REDIRECT = 3


class ReservationState(IntEnum):
    """The life of a reservation, by the numbers in the rows."""

    HELD = 0
    ACTIVE = 1
    QUARANTINED = 2


@dataclass(frozen=True)
class Reservation:
    """One slug's row. `holder` is the change set until the slug is applied, the organization's name from then on."""

    slug: str
    organization_id: int | None
    holder: str
    region: str
    type: ReservationType
    state: ReservationState
    fence_version: int
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Wish:
    """An organization of the calling region, and the slug and name that stood in the file."""

    organization_id: int
    base_slug: str
    name: str


@dataclass(frozen=True, slots=True)
class Reserved:
    """The slug that an organization has or will get; `finished` when it is PRIMARY."""

    organization_id: int
    slug: str
    finished: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """What one organization holds. `fence_version` is the highest that was given to it, 0 before the first."""

    primary: str | None = None
    temporary: str | None = None
    fence_version: int = 0

    @property
    def needs_slug(self) -> bool:
        """Whether a wish leads to a new hold: a repeat renames nobody, and queues nothing twice."""
        return self.primary is None and self.temporary is None


@dataclass(frozen=True, slots=True)
class Won:
    """A free slug was inserted for an organization that needs one."""

    slug: str


class Verdict(Enum):
    """What a region says of a slug that it was to apply."""

    APPLIED = "applied"
    CLASH = "clash"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Answered:
    """A region's answer to one pair of an ApplySlugs."""

    verdict: Verdict
    slug: str
    fence_version: int


class Effect(Enum):
    """What follows from a step. The slug is that of the event, unless said otherwise."""

    QUEUE = "queue the slug with its fence version for the region"
    PROMOTE = "the TEMPORARY row becomes PRIMARY and ACTIVE, the mapping gets the slug"
    END_FORMER = "the former PRIMARY row ends; comes before PROMOTE"
    RELEASE = "the TEMPORARY row ends"
    CHOOSE_AGAIN = "the organization has no slug yet: hold another one for it"
    FORGET = "the organization was never there: its mapping ends"


def step(holding: Holding, event: Won | Answered) -> tuple[Holding, tuple[Effect, ...]]:
    """The next state and the effects, in order. Rules: house.md 8, spec/hybrid.md 6 (S2-S5, B2, P11)."""
    if isinstance(event, Won):
        assert holding.needs_slug, "a slug was chosen for an organization that holds one"
        return Holding(None, event.slug, holding.fence_version + 1), (Effect.QUEUE,)
    if event.slug != holding.temporary or event.fence_version != holding.fence_version:
        return holding, ()
    if event.verdict is Verdict.APPLIED:
        promoted = Holding(event.slug, None, holding.fence_version)
        return promoted, (Effect.PROMOTE,) if holding.primary is None else (Effect.END_FORMER, Effect.PROMOTE)
    released = Holding(holding.primary, None, holding.fence_version)
    if holding.primary is not None:
        return released, (Effect.RELEASE,)
    return released, (Effect.RELEASE, Effect.CHOOSE_AGAIN if event.verdict is Verdict.CLASH else Effect.FORGET)


def is_own(organization_region: str | None, id_number: int | None, *, region: str, number: int) -> bool:
    """Whether a region may name an organization: mapped to it, or unmapped with an id of its number (house.md 4)."""
    if organization_region is not None:
        return organization_region == region
    return id_number == number


@dataclass
class Seeker:
    """An organization that looks for a slug, and those that it would still try, best first."""

    organization_id: int
    fence_version: int
    candidates: Iterator[str]

    @classmethod
    def of(cls, organization_id: int, base_slug: str, fence_version: int, random: Random) -> "Seeker":
        """Starts from the slug that the text suggests; `fence_version` is the one that the hold will have."""
        reserved = slugs.ORGANIZATION_RESERVED
        tries = slugs.candidates(base_slug, LENGTH_MAX, reserved, random)
        return cls(organization_id, fence_version, (slug for slug in tries if slug not in reserved))

    @classmethod
    def again(cls, organization_id: int, clashed: str, fence_version: int, random: Random) -> "Seeker":
        """Starts from the first suffix: `clashed` itself is out."""
        seeker = cls.of(organization_id, clashed, fence_version, random)
        seeker.candidates = (slug for slug in seeker.candidates if slug != clashed)
        return seeker


@dataclass
class Search:
    """The rounds in which several seekers find distinct free slugs: offer, insert what is free, offer again to losers.

    Within the set the first seeker in the given order gets the plain slug. Raises Aborted when a seeker has tried all
    its candidates, the last of which has twelve random characters.
    """

    seekers: Sequence[Seeker]
    won: dict[str, Seeker] = field(default_factory=dict)

    def offers(self) -> list[tuple[str, Seeker]]:
        """One untried candidate for each seeker without a slug, distinct, by slug: locks are taken in that order."""
        done = {id(seeker) for seeker in self.won.values()}
        offered: dict[str, Seeker] = {}
        for seeker in self.seekers:
            if id(seeker) in done:
                continue
            slug = next((s for s in seeker.candidates if s not in offered and s not in self.won), None)
            if slug is None:
                raise errors.Aborted("no free slug was found", retry_after_s=1.0)
            offered[slug] = seeker
        return sorted(offered.items(), key=lambda offer: offer[0])

    def settle(self, offers: Sequence[tuple[str, Seeker]], inserted: frozenset[str]) -> None:
        """Take note of the offers whose rows were inserted; the others were somebody else's."""
        self.won.update((slug, seeker) for slug, seeker in offers if slug in inserted)
