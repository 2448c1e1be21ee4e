"""Renames and swaps of organizations in two regions by the rules alone: whatever is late, lost or repeated, no slug is
anybody's twice, and in the end control and the regions agree.
"""

import random
from collections import Counter

import pytest

from shared.delivery import CLASH, SlugPair
from tests.slug_world import Apply, Settle, SlugWorld

HOMES = {1: "us", 2: "us", 3: "de", 4: "de"}
SLUGS = ("acme", "beta", "crow", "dune")
NAMES = (*SLUGS, "echo", "fawn", "wild")
STRANGERS = ((8, "us", "wild"), (9, "de", "acme"))
STEPS = 150


def check_always(world: SlugWorld) -> None:
    held = Counter(slug for holding in world.holdings.values() for slug in (holding.primary, holding.temporary) if slug)
    assert set(held.values()) == {1}, f"a slug has two holders: {held}"
    assert all(holding.primary for holding in world.holdings.values()), "an organization is without a slug"
    waiting = Counter(pair.organization_id for change in world.running.values() for _, pair in change.moves)
    assert all(count == 1 for count in waiting.values()), "two changes of one organization run"
    assert set(waiting) == {each for each, holding in world.holdings.items() if holding.is_pending}
    for region, rows in world.rows.items():
        there = Counter(row.slug for row in rows.values() if row.slug)
        assert set(there.values()) == {1}, f"{region} has a slug twice: {there}"


def deliver_all(world: SlugWorld) -> None:
    """Every message once more, the oldest first, until no change runs."""
    for _ in range(3):
        for place in range(len(world.messages)):
            world.act(Apply(place))
        for place in range(len(world.answers)):
            world.act(Settle(place))
            check_always(world)


@pytest.mark.parametrize("strangers", [(), STRANGERS], ids=["alone", "strangers"])
@pytest.mark.parametrize("seed", range(150))
def test_every_schedule_ends_with_all_silos_of_one_mind(seed: int, strangers: tuple[tuple[int, str, str], ...]) -> None:
    chance = random.Random(seed)
    world = SlugWorld(HOMES, SLUGS, strangers)
    for _ in range(STEPS):
        world.act(world.draw(chance, NAMES))
        check_always(world)
    deliver_all(world)

    assert world.running == {}
    fences = {each: (holding.primary, holding.fence_version) for each, holding in world.holdings.items()}
    there = {each: (row.slug, row.fence_version) for rows in world.rows.values() for each, row in rows.items()}
    assert {each: there[each] for each in HOMES} == fences
    assert [there[each][0] for each, _, _ in strangers] == [slug for _, _, slug in strangers]
    assert strangers or set(world.ended.values()) <= {""}, "nothing was refused by a region that knows nobody else"


def test_schedules_come_through_every_kind_of_end() -> None:
    ends: Counter[tuple[bool, str]] = Counter()
    for seed in range(50):
        chance = random.Random(seed)
        world = SlugWorld(HOMES, SLUGS, STRANGERS)
        swaps = set()
        for _ in range(STEPS):
            world.act(world.draw(chance, NAMES))
            swaps |= {change_set for change_set, change in world.running.items() if change.is_swap}
        deliver_all(world)
        ends.update((change_set in swaps, refusal) for change_set, refusal in world.ended.items())
    assert set(ends) == {(False, ""), (False, CLASH), (True, ""), (True, CLASH)}, ends


def test_a_message_is_of_one_region_and_in_the_order_of_slugs() -> None:
    world = SlugWorld(HOMES, SLUGS)
    chance = random.Random(3)
    for _ in range(STEPS):
        world.act(world.draw(chance, NAMES))
    for region, message in world.messages:
        assert {HOMES[pair.organization_id] for pair in message.pairs} == {region}
        assert list(message.pairs) == sorted(message.pairs, key=lambda pair: pair.slug)
        assert all(isinstance(pair, SlugPair) for pair in message.pairs)
