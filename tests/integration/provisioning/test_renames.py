"""Renames on healthy silos, and the redirects that former slugs become."""

from datetime import timedelta

import pytest

from control_silo.slugs.answers import settle_answers
from control_silo.slugs.redirects import REDIRECTS_MAX, redirect_tasks, release_redirect
from control_silo.slugs.renames import REDIRECT_TTL_S
from shared.cleaner import Cleaner
from shared.delivery import SlugResult, SlugsApplied
from shared.errors import (
    FailedPrecondition,
    InvalidArgument,
    OrganizationImporting,
    OrganizationNotFound,
    PeerRefused,
    RedirectLimit,
    SlugChangePending,
    SlugHeld,
    SlugNotFound,
    SlugTaken,
)
from shared.requests import RequestState
from shared.rpc.call import Caller, acting
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, add_organizations, execute, organization_ids, reservations, rows
from tests.integration.callbacks.silos import region_slugs as slugs_of
from tests.integration.provisioning.asking import (
    CALLER,
    ask,
    ask_rename,
    at_end,
    found,
    id_of,
    made,
    mutation,
    new_id,
    record_state,
    renamed,
)
from tests.invariants import check_always, check_quiet

pytestmark = pytest.mark.integration

TTL = timedelta(seconds=REDIRECT_TTL_S)
SETTLED, REDIRECT = (0, 1), (3, 1)


def quiet(silos: Silos, strangers: tuple[int, ...] = ()) -> None:
    check_quiet(silos.control, silos.regions, strangers=strangers)


@pytest.mark.parametrize("redirect_ttl_s", [0, REDIRECT_TTL_S])
def test_case_27_an_exact_rename_ends_with_all_in_agreement(
    silos: Silos, clock: FakeClock, redirect_ttl_s: int
) -> None:
    organization = id_of(made(silos))

    change = renamed(silos, organization, "Acme-2", redirect_ttl_s=redirect_ttl_s)

    assert (change.state, change.slug, change.organization_id) == (RequestState.SUCCEEDED, "acme-2", organization)
    assert record_state(silos, change) == "SUCCEEDED"
    assert slugs_of(silos.regions["us"]) == {organization: "acme-2"}
    assert found(silos, "acme-2") == (organization, "acme-2")
    assert reservations(silos.control)["acme-2"][:3] == (organization, *SETTLED)
    quiet(silos)
    clock.advance(redirect_ttl_s)
    other = made(silos, region="de")
    assert other.slug == "acme"
    quiet(silos)


@pytest.mark.parametrize("region", ["us", "de"])
def test_case_28_a_taken_slug_is_a_conflict_with_suggestions_and_changes_nothing(silos: Silos, region: str) -> None:
    ours, theirs = id_of(made(silos)), id_of(made(silos, slug="other", region=region))
    before = reservations(silos.control)

    with pytest.raises(SlugTaken) as caught:
        ask_rename(silos, ours, "OTHER")

    free = caught.value.metadata["suggestions"].split(",")
    assert len(free) == 3
    assert all(slug.startswith("other-") for slug in free)
    assert reservations(silos.control) == before
    assert found(silos, "other") == (theirs, "other")
    assert rows(silos.control, "SELECT * FROM organization_change WHERE kind = 2") == []
    quiet(silos)


def test_case_29_an_inexact_wish_for_a_taken_slug_gets_a_suffix(silos: Silos) -> None:
    ours = id_of(made(silos))
    made(silos, slug="other", region="de")
    change = renamed(silos, ours, "Other!", exact=False)
    assert change.slug.startswith("other-")
    quiet(silos)


def test_case_30_and_fault_S6_a_second_rename_is_refused_while_one_runs(silos: Silos) -> None:
    organization = id_of(made(silos))
    ask_rename(silos, organization, "first")
    with pytest.raises(SlugChangePending) as caught:
        ask_rename(silos, organization, "second")
    assert caught.value.retry_after_s
    check_always(silos.control, silos.regions)
    silos.drain()
    assert renamed(silos, organization, "second").state is RequestState.SUCCEEDED
    quiet(silos)


@pytest.mark.parametrize("exact", [True, False])
def test_case_31_the_same_slug_is_fine_and_queues_nothing(silos: Silos, exact: bool) -> None:
    organization = id_of(made(silos))
    change = ask_rename(silos, organization, "ACME", exact=exact)
    assert (change.state, change.slug) == (RequestState.SUCCEEDED, "acme")
    assert record_state(silos, change) == "SUCCEEDED"
    assert list(reservations(silos.control)) == ["acme"]
    quiet(silos)


def test_case_32_an_organization_without_a_primary_gets_one_by_its_own_slug(silos: Silos) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "acme-2", redirect_ttl_s=0)
    execute(silos.control, "DELETE FROM slug_reservation")

    change = renamed(silos, organization, "acme-2")

    assert change.state is RequestState.SUCCEEDED
    assert {slug: row[:3] for slug, row in reservations(silos.control).items()} == {"acme-2": (organization, *SETTLED)}
    quiet(silos)


def test_fault_S4_a_conflict_in_the_region_fails_typed_and_the_next_rename_works(silos: Silos) -> None:
    organization = id_of(made(silos))
    (stranger,) = organization_ids(1, 1, start=900)
    add_organizations(silos.regions["us"], [(stranger, "x")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'fresh', state = 1 WHERE id = :id", id=stranger)

    change = renamed(silos, organization, "fresh")

    assert change.state is RequestState.FAILED
    assert change.error is not None
    assert (change.error.reason, change.error.metadata) == ("SLUG_CONFLICT", {"slug": "fresh", "region": "us"})
    assert list(reservations(silos.control)) == ["acme"]
    assert slugs_of(silos.regions["us"]) == {organization: "acme", stranger: "fresh"}
    quiet(silos, (stranger,))
    assert renamed(silos, organization, "newer").state is RequestState.SUCCEEDED
    quiet(silos, (stranger,))


def test_fault_S7_two_that_want_each_others_slug_are_both_refused(silos: Silos) -> None:
    ours, theirs = id_of(made(silos)), id_of(made(silos, slug="other", region="de"))
    with pytest.raises(SlugTaken):
        ask_rename(silos, ours, "other")
    with pytest.raises(SlugTaken):
        ask_rename(silos, theirs, "acme")
    quiet(silos)


def test_a_held_slug_is_not_taken_but_to_be_tried_again(silos: Silos) -> None:
    organization = id_of(made(silos))
    ask(silos, slug="wanted")
    with pytest.raises(SlugHeld) as caught:
        ask_rename(silos, organization, "wanted")
    assert caught.value.retry_after_s


@pytest.mark.parametrize("slug", ["12345", "-a", "a-", "a b", "ü", "a" * 51, "api", "us", "a_b", "a,b"])
def test_what_can_be_nobodys_slug_is_refused_by_field(silos: Silos, slug: str) -> None:
    organization = id_of(made(silos))
    with pytest.raises(InvalidArgument) as caught:
        ask_rename(silos, organization, slug)
    assert [violation.field for violation in caught.value.violations] == ["slug"]


def test_an_exact_slug_may_have_fifty_characters(silos: Silos) -> None:
    assert renamed(silos, id_of(made(silos)), "a" * 50).slug == "a" * 50
    quiet(silos)


def test_a_repeat_by_the_former_slug_gets_the_first_answer(silos: Silos) -> None:
    made(silos)
    request = new_id()
    first = ask_rename(silos, "acme", "fresh", redirect_ttl_s=0, request_id=request)
    assert ask_rename(silos, "acme", "fresh", redirect_ttl_s=0, request_id=request) == first
    silos.drain()
    other = id_of(made(silos))

    again = ask_rename(silos, "acme", "fresh", redirect_ttl_s=0, request_id=request)

    assert (again.key, again.state, again.organization_id) == (
        first.key,
        RequestState.SUCCEEDED,
        first.organization_id,
    )
    assert found(silos, "acme") == (other, "acme")
    quiet(silos)


def test_a_stranger_and_an_import_are_not_renamed(silos: Silos) -> None:
    with pytest.raises(OrganizationNotFound):
        ask_rename(silos, 17, "fresh")
    (importing,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(importing, "x")])
    silos.reserve("us", [(importing, "x")])
    silos.drain()
    with pytest.raises(OrganizationImporting):
        ask_rename(silos, importing, "fresh")


def test_a_former_slug_leads_on_until_its_sunset_and_is_counted(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "fresh")
    assert reservations(silos.control)["acme"][:3] == (organization, *REDIRECT)
    clock.advance(60)
    used = clock.now()

    assert [found(silos, key) for key in ("acme", "ACME", "fresh")] == [(organization, "fresh")] * 3

    (row,) = rows(silos.control, "SELECT use_count, last_used_at FROM slug_reservation WHERE slug = 'acme'")
    assert row == (2, used)
    with pytest.raises(SlugTaken):
        ask_rename(silos, id_of(made(silos, slug="other")), "acme")
    clock.advance(REDIRECT_TTL_S - 61)
    assert found(silos, "acme") == (organization, "fresh")
    clock.advance(1)
    with pytest.raises(OrganizationNotFound):
        found(silos, "acme")
    quiet(silos)


def test_an_expired_redirect_is_free_at_once_and_the_cleaner_takes_the_rest(silos: Silos, clock: FakeClock) -> None:
    first, second = id_of(made(silos)), id_of(made(silos, slug="other"))
    renamed(silos, first, "fresh")
    renamed(silos, second, "newer")
    clock.advance(REDIRECT_TTL_S)

    assert made(silos, region="de").slug == "acme"

    assert Cleaner(silos.control, redirect_tasks()).clean_once() == {"expired_slugs": 1}
    assert sorted(map(str, reservations(silos.control))) == ["acme", "fresh", "newer"]
    quiet(silos)


def test_an_owner_takes_its_redirect_back_by_a_rename(silos: Silos) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "fresh")
    ask_rename(silos, organization, "acme")
    assert found(silos, "acme") == (organization, "fresh")
    silos.drain()
    assert reservations(silos.control)["acme"][:3] == (organization, *SETTLED)
    assert reservations(silos.control)["fresh"][:3] == (organization, *REDIRECT)
    quiet(silos)


def test_a_redirect_that_the_region_refused_to_take_back_leads_on(silos: Silos) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "fresh")
    (stranger,) = organization_ids(1, 1, start=900)
    add_organizations(silos.regions["us"], [(stranger, "x")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme', state = 1 WHERE id = :id", id=stranger)

    assert renamed(silos, organization, "acme").state is RequestState.FAILED

    assert reservations(silos.control)["acme"][:3] == (organization, *REDIRECT)
    assert found(silos, "acme") == (organization, "fresh")
    quiet(silos, (stranger,))


def test_no_organization_has_more_redirects_than_it_may(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    for place in range(REDIRECTS_MAX):
        renamed(silos, organization, f"acme-{place}")
    with pytest.raises(RedirectLimit):
        ask_rename(silos, organization, "one-more")
    assert renamed(silos, organization, "one-more", redirect_ttl_s=0).state is RequestState.SUCCEEDED
    assert renamed(silos, organization, "acme").state is RequestState.SUCCEEDED
    clock.advance(REDIRECT_TTL_S)
    assert renamed(silos, organization, "later").state is RequestState.SUCCEEDED
    quiet(silos)


def test_an_owner_releases_a_redirect_before_its_time(silos: Silos) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "fresh")
    request = new_id()

    def release(name: str, caller: Caller = CALLER) -> None:
        asked = mutation(request, "release", name)
        with acting(caller, method="/test"):
            silos.control.transact(lambda transaction: release_redirect(transaction, asked, name))

    with pytest.raises(SlugNotFound):
        release("slugReservations/acme", Caller("tokens/18", organization_id=organization + 1))
    with pytest.raises(FailedPrecondition):
        release("slugReservations/fresh")
    release("slugReservations/ACME")
    release("slugReservations/ACME")
    with pytest.raises(OrganizationNotFound):
        found(silos, "acme")
    assert made(silos, region="de").slug == "acme"
    quiet(silos)


def test_a_region_cannot_end_another_regions_rename_with_an_answer_about_its_own(silos: Silos) -> None:
    theirs, own = id_of(made(silos, slug="theirs")), id_of(made(silos, slug="own", region="de"))
    victim, pretext = ask_rename(silos, theirs, "theirs-2"), ask_rename(silos, own, "own-2")
    answer = SlugsApplied(victim.change_set, (SlugResult(own, "own-2", 2),))

    with pytest.raises(PeerRefused):
        silos.control.transact(lambda transaction: settle_answers(transaction, region="de", answers=[answer]))

    silos.drain()
    assert [at_end(silos, change).state for change in (victim, pretext)] == [RequestState.SUCCEEDED] * 2
    assert found(silos, theirs) == (theirs, "theirs-2")
    check_quiet(silos.control, silos.regions)
