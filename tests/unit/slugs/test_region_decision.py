"""Which pairs of a change set a region applies."""

from random import Random

import pytest

from region_silo.slugs.domain import Organization, decide, decide_cancel
from shared.delivery import CANCELLED, CLASH, MISSING, SlugPair, SlugResult


def organizations(*given: Organization) -> tuple[dict[int, Organization], dict[str, int]]:
    return {each.id: each for each in given}, {each.slug: each.id for each in given if each.slug is not None}


def test_new_organizations_get_their_slugs() -> None:
    known, holders = organizations(Organization(1, None, 0), Organization(2, None, 0))
    pairs = (SlugPair(1, "a", 1), SlugPair(2, "b", 1))
    decision = decide(pairs, known, holders)
    assert decision.applied == pairs
    assert decision.results == (SlugResult(1, "a", 1), SlugResult(2, "b", 1))


def test_missing_and_clashing_pairs_fail_alone() -> None:
    known, holders = organizations(Organization(1, None, 0), Organization(2, None, 0), Organization(9, "b", 5))
    decision = decide((SlugPair(1, "a", 1), SlugPair(2, "b", 1), SlugPair(3, "c", 1)), known, holders)
    assert [result.refusal for result in decision.results] == ["", CLASH, MISSING]
    assert [pair.organization_id for pair in decision.applied] == [1]
    assert [pair.organization_id for pair in decision.clashed] == [2]


def test_slugs_change_hands_within_a_set() -> None:
    known, holders = organizations(Organization(1, "a", 1), Organization(2, "b", 1), Organization(3, "c", 1))
    decision = decide((SlugPair(1, "b", 2), SlugPair(2, "c", 2), SlugPair(3, "a", 2)), known, holders)
    assert len(decision.applied) == 3


def test_refused_pair_keeps_its_slug_and_makes_its_followers_clash() -> None:
    known, holders = organizations(
        Organization(1, "a", 1), Organization(2, "b", 1), Organization(3, "c", 1), Organization(9, "z", 1)
    )
    decision = decide((SlugPair(1, "b", 2), SlugPair(2, "c", 2), SlugPair(3, "z", 2)), known, holders)
    assert decision.applied == ()
    assert {result.refusal for result in decision.results} == {CLASH}


@pytest.mark.parametrize(("fence_version", "slug", "refusal"), [(2, "a", ""), (2, "b", CLASH), (1, "a", CLASH)])
def test_fence_versions_that_were_reached_change_nothing(fence_version: int, slug: str, refusal: str) -> None:
    known, holders = organizations(Organization(1, "a", 2))
    decision = decide((SlugPair(1, slug, fence_version),), known, holders)
    assert decision.applied == decision.clashed == ()
    assert decision.results == (SlugResult(1, slug, fence_version, refusal),)


def test_own_slug_again_under_a_higher_fence_is_applied() -> None:
    known, holders = organizations(Organization(1, "a", 1))
    assert len(decide((SlugPair(1, "a", 2),), known, holders).applied) == 1


def test_of_two_pairs_with_one_slug_the_first_gets_it() -> None:
    known, holders = organizations(Organization(1, None, 0), Organization(2, None, 0))
    decision = decide((SlugPair(1, "a", 1), SlugPair(2, "a", 1)), known, holders)
    assert [result.refusal for result in decision.results] == ["", CLASH]


def test_what_was_cancelled_is_never_applied_and_what_was_applied_is_told() -> None:
    known, _ = organizations(
        Organization(1, "a", 1), Organization(2, "b", 2), Organization(3, "c", 2), Organization(4, "d", 9)
    )
    pairs = tuple(SlugPair(number, slug, 2) for number, slug in enumerate(("x", "b", "y", "z", "gone"), start=1))
    decision = decide_cancel(pairs, known)
    assert [result.refusal for result in decision.results] == [CANCELLED, "", CANCELLED, CANCELLED, MISSING]
    assert (decision.applied, decision.clashed) == ((), (SlugPair(1, "x", 2),))
    late = decide(pairs[:1], {1: Organization(1, "a", 2)}, {"a": 1})
    assert (late.applied, late.results[0].refusal) == ((), CLASH)


@pytest.mark.parametrize("seed", range(100))
def test_no_decision_ever_gives_one_slug_to_two(seed: int) -> None:
    random = Random(seed)
    slugs = [f"s{place}" for place in range(8)]
    held = random.sample(slugs, 6)
    known, holders = organizations(*(Organization(i, held[i], random.randrange(3)) for i in range(6)))
    pairs = [SlugPair(i, random.choice(slugs), random.randrange(4)) for i in random.sample(range(8), 5)]
    decision = decide(pairs, {i: known[i] for i in known if i in {p.organization_id for p in pairs}}, holders)
    after = {each.id: each.slug for each in known.values()}
    after.update({pair.organization_id: pair.slug for pair in decision.applied})
    assert len(set(after.values())) == len(after)
    assert len(decision.results) == len(pairs)
