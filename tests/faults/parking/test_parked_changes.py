"""A change whose message is given up FAILED with MESSAGE_PARKED, holds its slugs, and ends by replay, skip or loss.

Whatever the operator does, and whatever arrives late, all invariants hold when it is quiet again.
"""

from datetime import timedelta

import pytest

from control_silo.changes.domain import Change
from control_silo.changes.usecases import RETENTION, change_tasks
from control_silo.recovery.usecases import recover
from shared.cleaner import Cleaner
from shared.deletion import DeletionStage
from shared.errors import MessageNeeded, SlugChangePending, SlugHeld
from shared.outbox.domain import Delivery
from shared.requests import RequestState
from tests.clock import FakeClock
from tests.faults.parking.poison import drain_until_parked, failed_and_held, lose, poisoned, replay, skip
from tests.faults.provisioning.test_faults import categories, down, lines_are_good
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    execute,
    organization_ids,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.deletions.deleting import ask_delete, carry_on, left_in_control, left_in_region
from tests.integration.provisioning.asking import (
    ask,
    ask_rename,
    ask_swap,
    at_end,
    id_of,
    made,
    new_id,
    record_state,
)
from tests.invariants import check_quiet

pytestmark = [pytest.mark.faults, pytest.mark.integration]

MAKING = "INSERT ON organization"
NAMING = "UPDATE OF slug ON organization"
MAPPING = "INSERT ON organization_mapping"
REMAPPING = "UPDATE OF slug ON organization_mapping"
ACTIVE, REDIRECT = 1, 3


def reason_of(silos: Silos, change: Change) -> str:
    error = at_end(silos, change).error
    return "" if error is None else error.reason


def sent(silos: Silos, category: str) -> list[Delivery]:
    return [delivery for _, delivery in silos.transport.seen if category in categories(delivery)]


def parked_provision(silos: Silos, clock: FakeClock) -> tuple[Change, str]:
    with poisoned(silos.regions["us"], MAKING):
        change = ask(silos)
        shard = drain_until_parked(silos, clock, "control")
    failed_and_held(silos, change, "acme")
    return change, shard


def parked_rename(silos: Silos, clock: FakeClock) -> tuple[Change, str]:
    organization = id_of(made(silos))
    with poisoned(silos.regions["us"], NAMING):
        change = ask_rename(silos, organization, "other")
        shard = drain_until_parked(silos, clock, "control")
    failed_and_held(silos, change, "other")
    return change, shard


def test_fault_P12_a_provision_that_the_region_never_takes_fails_and_keeps_its_slug_until_it_is_replayed(
    silos: Silos, clock: FakeClock
) -> None:
    request = new_id()
    with poisoned(silos.regions["us"], MAKING):
        change = ask(silos, request)
        shard = drain_until_parked(silos, clock, "control")
        failed_and_held(silos, change, "acme")
        assert ask(silos, request) == at_end(silos, change), "a repeat is told the same"
        replay(silos, "control", shard)
        drain_until_parked(silos, clock, "control")
        failed_and_held(silos, change, "acme")
    assert ask(silos, region="de").slug != "acme"

    replay(silos, "control", shard)
    silos.drain()

    ended = at_end(silos, change)
    assert (ended.state, ended.error, record_state(silos, change)) == (RequestState.SUCCEEDED, None, "SUCCEEDED")
    assert region_slugs(silos.regions["us"]) == {ended.organization_id: "acme"}
    check_quiet(silos.control, silos.regions)


def test_fault_P12_a_provision_that_is_skipped_frees_its_slug_when_the_region_has_acknowledged(
    silos: Silos, clock: FakeClock
) -> None:
    change, shard = parked_provision(silos, clock)
    (late,) = sent(silos, "create_organization")[-1:]
    down(silos, "us")
    skip(silos, "control", shard)
    silos.drain()
    failed_and_held(silos, change, "acme")

    lines_are_good(silos, clock)

    assert (reason_of(silos, change), record_state(silos, change)) == ("MESSAGE_PARKED", "FAILED")
    assert reservations(silos.control) == {}
    other = made(silos, region="de")
    assert other.slug == "acme"
    silos.transport.receivers["us"](late)
    execute(silos.regions["us"], "DELETE FROM inbox_shard")
    silos.transport.receivers["us"](late)
    silos.drain()
    assert region_slugs(silos.regions["us"]) == {}, "what comes late makes nothing, whatever the inbox remembers"
    assert reservations(silos.control)["acme"][0] == other.organization_id
    check_quiet(silos.control, silos.regions)


def test_a_provision_that_was_made_while_it_was_skipped_succeeds_after_all(silos: Silos, clock: FakeClock) -> None:
    """The operator skips what another drainer is just delivering: the region's word counts."""
    change = ask(silos)
    receiver = silos.transport.receivers["us"]

    def skipped_on_the_way(target: str, delivery: Delivery) -> None:
        if target == "us" and "create_organization" in categories(delivery):
            receiver(delivery)
            skip(silos, "control", change.change_set)

    silos.transport.before = skipped_on_the_way
    silos.drainers["control"].drain_once()
    failed_and_held(silos, change, "acme")
    lines_are_good(silos, clock)
    ended = at_end(silos, change)
    assert (ended.state, record_state(silos, change)) == (RequestState.SUCCEEDED, "SUCCEEDED")
    check_quiet(silos.control, silos.regions)


def test_a_parked_provision_whose_slug_somebody_took_in_the_region_fails_with_that_after_its_replay(
    silos: Silos, clock: FakeClock
) -> None:
    change, shard = parked_provision(silos, clock)
    (stranger,) = organization_ids(1, 1, start=900)
    add_organizations(silos.regions["us"], [(stranger, "x")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme', state = 1")
    replay(silos, "control", shard)
    silos.drain()
    assert reason_of(silos, change) == "SLUG_CONFLICT"
    assert reservations(silos.control) == {}
    check_quiet(silos.control, silos.regions, strangers=[stranger])


def test_a_parked_rename_is_carried_out_by_its_replay(silos: Silos, clock: FakeClock) -> None:
    change, shard = parked_rename(silos, clock)
    with pytest.raises(SlugChangePending):
        ask_rename(silos, id_of(change), "third")
    replay(silos, "control", shard)
    silos.drain()
    assert (at_end(silos, change).state, record_state(silos, change)) == (RequestState.SUCCEEDED, "SUCCEEDED")
    assert region_slugs(silos.regions["us"]) == {change.organization_id: "other"}
    check_quiet(silos.control, silos.regions)


def test_a_skipped_rename_keeps_the_former_slug_and_the_region_refuses_what_comes_late(
    silos: Silos, clock: FakeClock
) -> None:
    change, shard = parked_rename(silos, clock)
    (late,) = sent(silos, "apply_slugs")[-1:]
    down(silos, "us")
    skip(silos, "control", shard)
    silos.drain()
    failed_and_held(silos, change, "other")
    with pytest.raises(SlugHeld):
        ask_rename(silos, id_of(made(silos, slug="third", region="de")), "other")

    lines_are_good(silos, clock)

    assert reason_of(silos, change) == "MESSAGE_PARKED"
    assert made(silos, slug="other", region="de").slug == "other"
    execute(silos.regions["us"], "DELETE FROM inbox_shard")
    silos.transport.receivers["us"](late)
    silos.drain()
    assert region_slugs(silos.regions["us"]) == {change.organization_id: "acme"}
    check_quiet(silos.control, silos.regions)
    again = ask_rename(silos, id_of(change), "newer")
    silos.drain()
    assert at_end(silos, again).state is RequestState.SUCCEEDED
    check_quiet(silos.control, silos.regions)


def test_a_parked_swap_is_carried_out_by_its_replay(silos: Silos, clock: FakeClock) -> None:
    ours, theirs = id_of(made(silos)), id_of(made(silos, slug="other", region="de"))
    with poisoned(silos.regions["us"], NAMING):
        change = ask_swap(silos, {ours: "other", theirs: "acme"})
        shard = drain_until_parked(silos, clock, "control")
    failed_and_held(silos, change, "acme", "other")
    replay(silos, "control", shard)
    silos.drain()
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert region_slugs(silos.regions["us"]) == {ours: "other"}
    check_quiet(silos.control, silos.regions)


def test_a_skipped_swap_goes_back_in_every_region_even_when_that_is_skipped_too(silos: Silos, clock: FakeClock) -> None:
    ours, theirs = id_of(made(silos)), id_of(made(silos, slug="other", region="de"))
    with poisoned(silos.regions["us"], NAMING):
        change = ask_swap(silos, {ours: "other", theirs: "acme"})
        shard = drain_until_parked(silos, clock, "control")
        assert region_slugs(silos.regions["de"]) == {theirs: "acme"}
        skip(silos, "control", shard)
        drain_until_parked(silos, clock, "control")
        failed_and_held(silos, change, "acme", "other")
        assert region_slugs(silos.regions["de"]) == {theirs: "other"}
        skip(silos, "control", shard)
        clock.advance(60)
    silos.drain()
    assert reason_of(silos, change) == "MESSAGE_PARKED"
    assert region_slugs(silos.regions["us"]) == {ours: "acme"}
    check_quiet(silos.control, silos.regions)


@pytest.mark.parametrize("repair", [replay, skip])
def test_a_parked_message_of_an_import_ends_with_the_slugs_that_were_reserved(
    silos: Silos, clock: FakeClock, repair: object
) -> None:
    wishes = [(organization, f"org-{place}") for place, organization in enumerate(organization_ids(1, 3))]
    add_organizations(silos.regions["us"], wishes)
    with poisoned(silos.regions["us"], NAMING):
        silos.reserve("us", wishes)
        shard = drain_until_parked(silos, clock, "control")
    repair(silos, "control", shard)  # type: ignore[operator]
    silos.drain()
    assert region_slugs(silos.regions["us"]) == dict(wishes)
    check_quiet(silos.control, silos.regions)


@pytest.mark.parametrize("owner", [{}, {"owner_user_id": None, "owner_email": "ada@example.com"}])
def test_fault_P9_a_mapping_that_fails_after_the_regions_commit_is_written_later_and_nothing_twice(
    silos: Silos, clock: FakeClock, owner: dict[str, object]
) -> None:
    with poisoned(silos.control, MAPPING):
        change = ask(silos, **owner)  # type: ignore[arg-type]
        for _ in range(3):
            silos.drain()
            clock.advance(60)
        assert len(region_slugs(silos.regions["us"])) == 1
        assert rows(silos.control, "SELECT * FROM organization_mapping") == []
        assert at_end(silos, change).state is RequestState.RUNNING
        drain_until_parked(silos, clock, "us")
        failed_and_held(silos, change, "acme")
        with pytest.raises(MessageNeeded):
            skip(silos, "us", change.change_set)

    replay(silos, "us", change.change_set)
    silos.drain()

    ended = at_end(silos, change)
    assert (ended.state, record_state(silos, change)) == (RequestState.SUCCEEDED, "SUCCEEDED")
    assert region_slugs(silos.regions["us"]) == {ended.organization_id: "acme"}
    assert rows(silos.regions["us"], "SELECT count(*) FROM organization_member") == [(1,)]
    check_quiet(silos.control, silos.regions)


def test_a_renames_answer_that_control_refuses_fails_the_change_until_it_is_replayed(
    silos: Silos, clock: FakeClock
) -> None:
    organization = id_of(made(silos))
    with poisoned(silos.control, REMAPPING):
        change = ask_rename(silos, organization, "other")
        shard = drain_until_parked(silos, clock, "us")
        failed_and_held(silos, change, "other")
    replay(silos, "us", shard)
    silos.drain()
    assert (at_end(silos, change).state, record_state(silos, change)) == (RequestState.SUCCEEDED, "SUCCEEDED")
    check_quiet(silos.control, silos.regions)


def test_what_waits_for_a_region_that_is_declared_lost_fails_and_its_slugs_are_free(
    silos: Silos, clock: FakeClock
) -> None:
    first, second = id_of(made(silos)), id_of(made(silos, slug="second"))
    back = ask_rename(silos, first, "fresh")
    silos.drain()
    parked, _ = parked_rename_of(silos, clock, second)
    down(silos, "us")
    running, taken_back = ask(silos, slug="new"), ask_rename(silos, first, "acme")

    lose(silos)

    assert at_end(silos, back).state is RequestState.SUCCEEDED
    for change in (parked, running, taken_back):
        assert (reason_of(silos, change), record_state(silos, change)) == ("REGION_LOST", "FAILED")
    found = rows(silos.control, "SELECT slug, type, state FROM slug_reservation ORDER BY slug")
    assert found == [("acme", REDIRECT, ACTIVE), ("fresh", 0, ACTIVE), ("second", 0, ACTIVE)]
    lines_are_good(silos, clock)
    assert region_slugs(silos.regions["us"]) == {first: "fresh", second: "second"}
    check_quiet(silos.control, silos.regions)


def parked_rename_of(silos: Silos, clock: FakeClock, organization: int) -> tuple[Change, str]:
    with poisoned(silos.regions["us"], NAMING):
        change = ask_rename(silos, organization, "third")
        return change, drain_until_parked(silos, clock, "control")


def test_a_swap_goes_on_without_a_lost_region_and_no_slug_loses_its_owner(silos: Silos, clock: FakeClock) -> None:
    ours, theirs = id_of(made(silos)), id_of(made(silos, slug="other", region="de"))
    down(silos, "us")
    change = ask_swap(silos, {ours: "other", theirs: "acme"})
    silos.drain()
    assert at_end(silos, change).state is RequestState.RUNNING

    lose(silos)

    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert {slug: row[:3] for slug, row in reservations(silos.control).items()} == {
        "acme": (theirs, 0, ACTIVE),
        "other": (ours, 0, ACTIVE),
    }
    assert region_slugs(silos.regions["de"]) == {theirs: "acme"}


def test_a_parked_change_is_kept_however_old_it_is(silos: Silos, clock: FakeClock) -> None:
    _, shard = parked_provision(silos, clock)
    clock.advance(2 * RETENTION.total_seconds())
    assert Cleaner(silos.control, change_tasks()).clean_once() == {"organization_changes": 0}
    skip(silos, "control", shard)
    silos.drain()
    clock.advance(2 * RETENTION.total_seconds())
    assert Cleaner(silos.control, change_tasks()).clean_once() == {"organization_changes": 1}
    assert rows(silos.control, "SELECT 1 FROM organization_change") == []


@pytest.mark.parametrize("then", ["replayed", "skipped", "lost"])
def test_a_deletion_waits_for_a_parked_rename_and_takes_its_slug_too(silos: Silos, clock: FakeClock, then: str) -> None:
    change, shard = parked_rename(silos, clock)
    organization = id_of(change)
    ask_delete(silos, organization, grace=timedelta())
    clock.advance(1)
    carry_on(silos)
    staged = rows(silos.control, "SELECT deletion FROM organization_mapping")
    assert staged == [(DeletionStage.PENDING,)], "the region may still apply the rename"
    failed_and_held(silos, change, "other")

    if then == "replayed":
        replay(silos, "control", shard)
    elif then == "skipped":
        skip(silos, "control", shard)
    else:
        lose(silos)
        silos.control.transact(lambda t: recover(t, region="us", request_id=new_id()))
    silos.drain()
    carry_on(silos)

    assert left_in_control(silos, organization) == {}
    assert left_in_region(silos.regions["us"], organization) == {}
    assert all(row[0] is None for row in reservations(silos.control).values())
    check_quiet(silos.control, silos.regions)
