"""Swaps and cycles, within a region and across, and what becomes of one that a region refuses."""

import random

import pytest

from shared.errors import (
    InvalidArgument,
    OrganizationNotFound,
    PeerUnavailable,
    SlugChangePending,
    SlugsMismatch,
    SlugTaken,
)
from shared.outbox.domain import Delivery
from shared.requests import RequestState
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, add_organizations, execute, organization_ids, reservations
from tests.integration.callbacks.silos import region_slugs as slugs_of
from tests.integration.provisioning.asking import (
    ask_rename,
    ask_swap,
    at_end,
    found,
    id_of,
    made,
    new_id,
    record_state,
    renamed,
)
from tests.invariants import check_always, check_quiet

pytestmark = pytest.mark.integration


def three(silos: Silos, regions: tuple[str, str, str] = ("us", "us", "de")) -> list[int]:
    return [id_of(made(silos, slug=slug, region=region)) for slug, region in zip("abc", regions, strict=True)]


def quiet(silos: Silos, strangers: tuple[int, ...] = ()) -> None:
    check_quiet(silos.control, silos.regions, strangers=strangers)


def all_slugs(silos: Silos) -> dict[object, object]:
    return {key: slug for database in silos.regions.values() for key, slug in slugs_of(database).items()}


@pytest.mark.parametrize("regions", [("us", "us", "us"), ("us", "de", "us"), ("us", "us", "de")])
def test_two_exchange_their_slugs(silos: Silos, regions: tuple[str, str, str]) -> None:
    first, second, third = three(silos, regions)

    change = ask_swap(silos, {first: "b", second: "A"})

    assert change.state is RequestState.RUNNING
    check_always(silos.control, silos.regions)
    assert found(silos, "a") == (second, "a")
    assert all_slugs(silos)[first] == "a"
    silos.drain()
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert record_state(silos, change) == "SUCCEEDED"
    assert all_slugs(silos) == {first: "b", second: "a", third: "c"}
    quiet(silos)


@pytest.mark.parametrize("regions", [("us", "us", "us"), ("us", "de", "us"), ("us", "us", "de")])
def test_three_go_round(silos: Silos, regions: tuple[str, str, str]) -> None:
    first, second, third = three(silos, regions)
    change = ask_swap(silos, {first: "b", second: "c", third: "a"})
    silos.drain()
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert all_slugs(silos) == {first: "b", second: "c", third: "a"}
    again = ask_swap(silos, {first: "a", second: "b", third: "c"})
    silos.drain()
    assert at_end(silos, again).state is RequestState.SUCCEEDED
    assert all_slugs(silos) == {first: "a", second: "b", third: "c"}
    quiet(silos)


def test_a_swap_runs_until_the_last_region_has_applied_it(silos: Silos, clock: FakeClock) -> None:
    first, _, third = three(silos)

    def de_is_down(target: str, delivery: Delivery) -> None:
        if target == "de":
            raise PeerUnavailable

    silos.transport.before = de_is_down
    change = ask_swap(silos, {first: "c", third: "a"})
    silos.drain()
    assert at_end(silos, change).state is RequestState.RUNNING
    assert slugs_of(silos.regions["us"])[first] == "c"
    assert slugs_of(silos.regions["de"])[third] == "c"
    check_always(silos.control, silos.regions)
    with pytest.raises(SlugChangePending):
        ask_rename(silos, first, "fresh")
    with pytest.raises(SlugChangePending):
        ask_swap(silos, {first: "a", third: "c"})
    silos.transport.before = lambda target, delivery: None
    clock.advance(60)
    silos.drain()
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    quiet(silos)


def test_a_swap_that_a_region_refuses_goes_back_everywhere(silos: Silos) -> None:
    first, second, third = three(silos)
    (stranger,) = organization_ids(2, 1, start=900)
    add_organizations(silos.regions["de"], [(stranger, "x")])
    execute(silos.regions["de"], "UPDATE organization SET slug = 'a', state = 1 WHERE id = :id", id=stranger)

    change = ask_swap(silos, {first: "b", second: "c", third: "a"})
    silos.drain()

    ended = at_end(silos, change)
    assert ended.state is RequestState.FAILED
    assert ended.error is not None
    assert (ended.error.reason, ended.error.metadata) == ("SLUG_CONFLICT", {"slug": "a", "region": "de"})
    assert all_slugs(silos) == {first: "a", second: "b", third: "c", stranger: "a"}
    quiet(silos, (stranger,))
    assert renamed(silos, third, "d").state is RequestState.SUCCEEDED
    quiet(silos, (stranger,))


def test_a_repeat_by_slug_swaps_nothing_back(silos: Silos) -> None:
    first, second, _ = three(silos)
    request = new_id()
    change = ask_swap(silos, [("a", "b"), ("b", "a")], request)
    silos.drain()

    again = ask_swap(silos, [("a", "b"), ("b", "a")], request)

    assert again == at_end(silos, change)
    assert slugs_of(silos.regions["us"]) == {first: "b", second: "a"}
    quiet(silos)


def test_slugs_that_nobody_of_the_request_has_are_refused(silos: Silos) -> None:
    first, second, third = three(silos)
    before = reservations(silos.control)
    for wanted in ({first: "b", second: "c"}, {first: "b", second: "free"}, {first: "c", third: "b"}):
        with pytest.raises(SlugsMismatch):
            ask_swap(silos, wanted)
    with pytest.raises(InvalidArgument):
        ask_swap(silos, [(first, "b"), ("a", "a")])
    with pytest.raises(InvalidArgument):
        ask_swap(silos, {first: "b", second: "b"})
    with pytest.raises(OrganizationNotFound):
        ask_swap(silos, {first: "b", 17: "a"})
    assert reservations(silos.control) == before


def test_everybodys_own_slug_is_done_at_once(silos: Silos) -> None:
    first, second, _ = three(silos)
    assert ask_swap(silos, {first: "a", second: "b"}).state is RequestState.SUCCEEDED
    quiet(silos)


def test_late_and_repeated_answers_of_a_swap_change_nothing(silos: Silos) -> None:
    first, second, third = three(silos)
    ask_swap(silos, {first: "b", second: "c", third: "a"})
    silos.drain()
    ask_swap(silos, {first: "a", third: "b"})
    silos.drain()
    before = all_slugs(silos), reservations(silos.control)
    repeats = list(silos.transport.seen)
    random.Random(3).shuffle(repeats)
    for target, delivery in (*repeats, *repeats):
        silos.transport.receivers[target](delivery)
    silos.drain()
    assert (all_slugs(silos), reservations(silos.control)) == before
    quiet(silos)


def test_redirects_stay_with_the_organization_through_a_swap(silos: Silos) -> None:
    first, second, _ = three(silos)
    renamed(silos, first, "fresh")
    ask_swap(silos, {first: "b", second: "fresh"})
    silos.drain()
    assert found(silos, "a") == (first, "b")
    with pytest.raises(SlugTaken):
        ask_rename(silos, second, "a")
    quiet(silos)
