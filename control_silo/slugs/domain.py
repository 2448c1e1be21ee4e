"""The life of an organization's slug reservations, as a function of state and event, and the choice of free slugs.

No slug is dropped while a region may still apply it: a TEMPORARY one ends only by the region's answer with its own
fence version. Every other answer is late or repeated, and changes nothing. Each new hold has a higher fence version
than all before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from random import Random
from typing import NamedTuple

from shared import errors, slugs
from shared.snowflake.domain import ID_BITS, LAYOUTS

LENGTH_MAX = slugs.ORGANIZATION_LENGTH_MAX
RESERVED = slugs.ORGANIZATION_RESERVED


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
    use_count: int = 0
    last_used_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether it was a redirect or a quarantine whose time is over: the slug is free, cleaned or not."""
        ends = self.type is ReservationType.REDIRECT or self.state is ReservationState.QUARANTINED
        return ends and self.expires_at is not None and self.expires_at <= now


class Wish(NamedTuple):
    """An organization of the calling region, and the slug and name that stood in the file."""

    organization_id: int
    base_slug: str
    name: str


class Reserved(NamedTuple):
    """The slug that an organization has or will get; `finished` when it is PRIMARY."""

    organization_id: int
    slug: str
    finished: bool


class Holding(NamedTuple):
    """What one organization holds. `fence_version` is the highest that was given to it, 0 before the first.

    `is_moving`: the PRIMARY slug came by a swap that regions have still to carry out.
    """

    primary: str | None = None
    temporary: str | None = None
    fence_version: int = 0
    is_moving: bool = False

    @property
    def needs_slug(self) -> bool:
        """Whether a wish leads to a new hold: a repeat renames nobody, and queues nothing twice."""
        return self.primary is None and self.temporary is None

    def above(self, fence: int) -> "Holding":
        """The same, as if the region's fence had been given to it: what that freed is never given again."""
        return self._replace(fence_version=max(self.fence_version, fence))

    @property
    def is_pending(self) -> bool:
        """Whether a region has still to answer about one of its slugs."""
        return self.temporary is not None or self.is_moving


def above_fence(holdings: Mapping[int, Holding], organization_ids: Iterable[int], fence: int) -> dict[int, Holding]:
    """Those that need a slug, as if the region's fence had been given to them: what it freed is never given again."""
    found = {organization_id: holdings.get(organization_id, Holding()) for organization_id in organization_ids}
    return {
        organization_id: holding.above(fence)
        for organization_id, holding in found.items()
        if holding.needs_slug and fence
    }


class Won(NamedTuple):
    """A free slug was inserted for an organization that needs one."""

    slug: str


class Verdict(Enum):
    """What a region says of a slug that it was to apply."""

    APPLIED = "applied"
    CLASH = "clash"
    MISSING = "missing"
    CANCELLED = "cancelled"


class Answered(NamedTuple):
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
        assert not holding.is_pending, "a slug was chosen while another one is on its way"
        return Holding(holding.primary, event.slug, holding.fence_version + 1), (Effect.QUEUE,)
    if event.slug != holding.temporary or event.fence_version != holding.fence_version:
        return holding, ()
    if event.verdict is Verdict.APPLIED:
        promoted = Holding(event.slug, None, holding.fence_version)
        return promoted, (Effect.PROMOTE,) if holding.primary is None else (Effect.END_FORMER, Effect.PROMOTE)
    released = Holding(holding.primary, None, holding.fence_version)
    if holding.primary is not None:
        return released, (Effect.RELEASE,)
    return released, (Effect.RELEASE, Effect.FORGET if event.verdict is Verdict.MISSING else Effect.CHOOSE_AGAIN)


def is_own(organization_id: int, mapped_to: str | None, *, region: str, number: int) -> bool:
    """Whether a region may name an organization: mapped to it, or unmapped with an id of its number (house.md 4)."""
    if mapped_to is not None:
        return mapped_to == region
    return _number_in(organization_id) == number


def _number_in(snowflake: int) -> int | None:
    # As describe() reads it, without the other segments: reservations ask this for thousands of ids at once.
    for layout in LAYOUTS.values():
        if snowflake >> (ID_BITS - layout.prefix_bits) == layout.prefix:
            return snowflake >> layout.sequence_bits & (layout.regions - 1)
    return None


class Seeker:
    """An organization that looks for a slug, and the slugs that it would still try, best first."""

    __slots__ = ("_attempt", "_base", "_random", "_reserved", "fence_version", "organization_id")

    def __init__(
        self,
        organization_id: int,
        base_slug: str,
        fence_version: int,
        random: Random,
        reserved: frozenset[str] = RESERVED,
    ) -> None:
        """Starts from the slug that the text suggests; `fence_version` is the one that the hold will have."""
        self.organization_id = organization_id
        self.fence_version = fence_version
        self._random = random
        self._reserved = reserved
        self._base = slugs.base_slug(base_slug, LENGTH_MAX, reserved) or slugs.random_slug(random)
        # One of digits only would read as an id: it starts from the first suffix.
        self._attempt = 1 if slugs.is_numeric(self._base) else 0

    @classmethod
    def again(
        cls,
        organization_id: int,
        clashed: str,
        fence_version: int,
        random: Random,
        reserved: frozenset[str] = RESERVED,
    ) -> "Seeker":
        """Starts from the first suffix: `clashed` itself is out."""
        seeker = cls(organization_id, clashed, fence_version, random, reserved)
        seeker._attempt = 1
        return seeker

    def next_candidate(self) -> str | None:
        """The next slug to try, or None after `ATTEMPTS_MAX` suffixes. Never a reserved word."""
        attempt = self._attempt
        if attempt > slugs.ATTEMPTS_MAX:
            return None
        self._attempt = attempt + 1
        if attempt == 0:
            return self._base
        slug = slugs.suffixed(self._base, LENGTH_MAX, attempt, self._random)
        return self.next_candidate() if slug in self._reserved else slug


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
        done = {seeker.organization_id for seeker in self.won.values()}
        offered: dict[str, Seeker] = {}
        for seeker in self.seekers:
            if seeker.organization_id in done:
                continue
            slug = seeker.next_candidate()
            while slug in offered or slug in self.won:
                slug = seeker.next_candidate()
            if slug is None:
                raise errors.Aborted("no free slug was found", retry_after_s=1.0)
            offered[slug] = seeker
        return sorted(offered.items())

    def settle(self, offers: Sequence[tuple[str, Seeker]], inserted: frozenset[str]) -> None:
        """Take note of the offers whose rows were inserted; the others were somebody else's."""
        self.won.update((slug, seeker) for slug, seeker in offers if slug in inserted)
