"""Which pairs of a change set a region applies. Decided for the whole set, so that slugs may change hands within it.

A pair is applied when its organization is here, its fence version is above all that was taken before, and nobody keeps
its slug. One pair's refusal never fails the others; it may make another clash, whose slug then stays where it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.delivery import CANCELLED, CLASH, MISSING, SlugPair, SlugResult


@dataclass(frozen=True, slots=True)
class Organization:
    """What the decision needs of an organization's row."""

    id: int
    slug: str | None
    fence_version: int


@dataclass(frozen=True)
class Decision:
    """`applied` and `clashed` are to be written; `results` answers every pair, in the order of the set."""

    applied: tuple[SlugPair, ...]
    clashed: tuple[SlugPair, ...]
    results: tuple[SlugResult, ...]


def decide(
    pairs: Sequence[SlugPair], organizations: Mapping[int, Organization], holders: Mapping[str, int]
) -> Decision:
    """Decide a set. `organizations` are those of the pairs that exist; `holders` has who holds a wanted slug now."""
    fresh: dict[int, SlugPair] = {}
    for pair in pairs:
        organization = organizations.get(pair.organization_id)
        if organization is not None and pair.fence_version > organization.fence_version:
            fresh.setdefault(pair.organization_id, pair)
    applied = _without_clashes(fresh, holders)
    results = []
    for pair in pairs:
        organization = organizations.get(pair.organization_id)
        results.append(_result(pair, organization, is_applied=applied.get(pair.organization_id) == pair))
    return Decision(
        applied=tuple(applied.values()),
        clashed=tuple(pair for pair in fresh.values() if pair.organization_id not in applied),
        results=tuple(results),
    )


def decide_cancel(pairs: Sequence[SlugPair], organizations: Mapping[int, Organization]) -> Decision:
    """Decide what must not be applied any more: `clashed` are the pairs whose fence versions are to be written.

    A pair that was applied before is answered so.
    """
    results = []
    raised = []
    for pair in pairs:
        organization = organizations.get(pair.organization_id)
        if organization is None:
            refusal = MISSING
        elif organization.fence_version == pair.fence_version and organization.slug == pair.slug:
            refusal = ""
        else:
            refusal = CANCELLED
            if organization.fence_version < pair.fence_version:
                raised.append(pair)
        results.append(SlugResult(pair.organization_id, pair.slug, pair.fence_version, refusal))
    return Decision(applied=(), clashed=tuple(raised), results=tuple(results))


def _without_clashes(fresh: Mapping[int, SlugPair], holders: Mapping[str, int]) -> dict[int, SlugPair]:
    """The pairs that can be written together: each round drops those whose slug stays with somebody else."""
    kept = dict(fresh)
    while True:
        dropped = list(_clashing(kept.values(), kept, holders))
        if not dropped:
            return kept
        for pair in dropped:
            del kept[pair.organization_id]


def _clashing(
    pairs: Iterable[SlugPair], kept: Mapping[int, SlugPair], holders: Mapping[str, int]
) -> Iterable[SlugPair]:
    wanted_by: dict[str, int] = {}
    for pair in pairs:
        first = wanted_by.setdefault(pair.slug, pair.organization_id)
        holder = holders.get(pair.slug, pair.organization_id)
        holder_stays = holder not in kept or kept[holder].slug == pair.slug
        if first != pair.organization_id or (holder != pair.organization_id and holder_stays):
            yield pair


def _result(pair: SlugPair, organization: Organization | None, *, is_applied: bool) -> SlugResult:
    if organization is None:
        refusal = MISSING
    elif is_applied or (organization.fence_version == pair.fence_version and organization.slug == pair.slug):
        refusal = ""
    else:
        refusal = CLASH
    return SlugResult(pair.organization_id, pair.slug, pair.fence_version, refusal)
