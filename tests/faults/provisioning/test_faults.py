"""Rows P1-P8, S1-S3 and B1, B2, B4 of the fault matrix: silos in one process, joined by lines that break where a test
says.

A crash is a transaction that is rolled back, or a call whose caller is gone; what is committed stays.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from control_silo.changes.domain import Change
from shared import barrier
from shared.errors import DeadlineExceeded, PeerUnavailable, SlugChangePending, SlugTaken
from shared.outbox.domain import Delivery
from shared.requests import RequestState
from tests.clock import FakeClock
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    organization_ids,
    pending,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.provisioning.asking import ask, ask_rename, at_end, id_of, made, new_id, record_state
from tests.invariants import check_always, check_quiet

pytestmark = [pytest.mark.faults, pytest.mark.integration]

OWNERS: list[dict[str, Any]] = [{}, {"owner_user_id": None, "owner_email": "ada@example.com"}]


class CrashError(Exception):
    """The process is gone."""


@contextmanager
def crash_at(monkeypatch: pytest.MonkeyPatch, place: str) -> Iterator[None]:
    """The transaction that reaches this place is rolled back, as when its process dies there."""

    def reach(name: str, _kinds: Iterable[str] = ()) -> None:
        if name == place:
            raise CrashError(name)

    with monkeypatch.context() as patch:
        patch.setattr(barrier, "reach", reach)
        yield


def down(silos: Silos, *targets: str) -> None:
    def before(target: str, delivery: Delivery) -> None:
        if target in targets:
            raise PeerUnavailable

    silos.transport.before = before


def replies_are_lost(silos: Silos, target: str, category: str) -> Callable[[], int]:
    """What the target applies of this category is never heard of; returns how often that was so."""
    lost: list[str] = []
    receiver = silos.transport.receivers[target]

    def before(to: str, delivery: Delivery) -> None:
        categories = {message.category for shard in delivery.shards for message in shard.messages}
        if to == target and category in categories:
            receiver(delivery)
            lost.append(to)
            raise PeerUnavailable

    silos.transport.before = before
    return lambda: len(lost)


def lines_are_good(silos: Silos, clock: FakeClock) -> None:
    silos.transport.before = lambda target, delivery: None
    clock.advance(60)
    silos.drain()


def one_organization(silos: Silos, change: Change) -> None:
    """The request has made exactly one, all silos agree on it, and every repeat gets it."""
    ended = at_end(silos, change)
    assert ended.state is RequestState.SUCCEEDED
    assert sum(len(region_slugs(database)) for database in silos.regions.values()) == 1
    assert region_slugs(silos.regions["us"]) == {ended.organization_id: "acme"}
    assert rows(silos.regions["us"], "SELECT count(*) FROM organization_member WHERE role = 'owner'") == [(1,)]
    check_quiet(silos.control, silos.regions)


def test_fault_P1_a_request_that_is_lost_before_arrival_is_sent_again(silos: Silos) -> None:
    # Nothing of a call that never arrived exists: the repeat is the first.
    change = ask(silos, new_id())
    silos.drain()
    one_organization(silos, change)


@pytest.mark.parametrize("place", ["provision.held", "before_commit"])
def test_fault_P3_control_that_dies_before_commit_has_held_nothing(
    silos: Silos, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    request = new_id()
    made(silos, slug="other")  # the user is there
    before = reservations(silos.control)
    with crash_at(monkeypatch, place), pytest.raises(CrashError):
        ask(silos, request)
    assert reservations(silos.control) == before
    assert pending(silos.control) == 0
    assert rows(silos.control, "SELECT 1 FROM request_record WHERE request_id = CAST(:id AS uuid)", id=request) == []

    change = ask(silos, request)
    silos.drain()

    assert (change.slug, at_end(silos, change).state) == ("acme", RequestState.SUCCEEDED)
    check_quiet(silos.control, silos.regions)


def test_fault_P4_control_that_dies_after_commit_goes_on_by_its_outbox(silos: Silos) -> None:
    change = ask(silos)
    assert at_end(silos, change).state is RequestState.RUNNING
    assert record_state(silos, change) == "RUNNING"
    check_always(silos.control, silos.regions)

    silos.drain()

    one_organization(silos, change)


def test_fault_P5_a_provision_does_not_wait_behind_messages_that_fail(silos: Silos, clock: FakeClock) -> None:
    other = ask(silos, slug="other")

    def before(target: str, delivery: Delivery) -> None:
        if any(shard.aggregate == other.change_set for shard in delivery.shards):
            raise ValueError("this one cannot be taken")

    silos.transport.before = before
    change = ask(silos)
    silos.drain()
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert at_end(silos, other).state is RequestState.RUNNING
    lines_are_good(silos, clock)
    assert at_end(silos, other).state is RequestState.SUCCEEDED
    check_quiet(silos.control, silos.regions)


@pytest.mark.parametrize("owner", OWNERS)
def test_case_24_and_fault_P6_a_region_that_is_down_gets_the_request_when_it_is_back(
    silos: Silos, clock: FakeClock, owner: dict[str, Any]
) -> None:
    down(silos, "us")
    request = new_id()
    change = ask(silos, request, **owner)
    for _ in range(60):
        silos.drain()
        clock.advance(60)
    assert ask(silos, request, **owner).state is RequestState.RUNNING
    check_always(silos.control, silos.regions)

    silos.transport.before = lambda target, delivery: None
    clock.advance(30)
    silos.drain()

    one_organization(silos, change)
    assert ask(silos, request, **owner) == at_end(silos, change)


@pytest.mark.parametrize("place", ["provision.created", "before_commit"])
@pytest.mark.parametrize("owner", OWNERS)
def test_fault_P7_a_region_that_dies_before_commit_makes_it_at_the_next_delivery(
    silos: Silos, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, place: str, owner: dict[str, Any]
) -> None:
    change = ask(silos, **owner)
    receiver = silos.transport.receivers["us"]

    def dies(target: str, delivery: Delivery) -> None:
        if target == "us":
            with crash_at(monkeypatch, place):
                results = receiver(delivery)
            assert {result.reason for result in results} == {"INTERNAL"}
            raise PeerUnavailable

    silos.transport.before = dies
    silos.drain()
    assert region_slugs(silos.regions["us"]) == {}
    check_always(silos.control, silos.regions)

    lines_are_good(silos, clock)

    one_organization(silos, change)


@pytest.mark.parametrize("owner", OWNERS)
def test_fault_P8_a_region_whose_reply_was_lost_makes_no_second_one(
    silos: Silos, clock: FakeClock, owner: dict[str, Any]
) -> None:
    lost = replies_are_lost(silos, "us", "create_organization")
    change = ask(silos, **owner)
    for _ in range(3):
        silos.drain()
        clock.advance(60)
    assert lost() >= 2

    lines_are_good(silos, clock)

    one_organization(silos, change)


@pytest.mark.parametrize("owner", OWNERS)
def test_fault_P8_a_region_that_forgot_the_delivery_answers_the_same(silos: Silos, owner: dict[str, Any]) -> None:
    change = made(silos, **owner)
    (delivery,) = [sent for target, sent in silos.transport.seen if "create_organization" in categories(sent)]
    silos.regions["us"].transact(lambda t: t.connection.exec_driver_sql("DELETE FROM inbox_shard"))

    silos.transport.receivers["us"](delivery)
    answers = rows(silos.regions["us"], "SELECT payload FROM outbox_message WHERE category = 'organization_created'")

    assert [answer[0]["organization_id"] for answer in answers] == [change.organization_id]  # type: ignore[index]
    silos.drain()
    one_organization(silos, change)


def test_fault_R3_a_region_that_finishes_after_control_has_given_up_makes_no_second_one(
    silos: Silos, clock: FakeClock
) -> None:
    change = ask(silos)
    receiver = silos.transport.receivers["us"]
    go_on = threading.Event()

    def finish(delivery: Delivery) -> None:
        assert go_on.wait(20)
        receiver(delivery)

    late: list[threading.Thread] = []

    def before(target: str, delivery: Delivery) -> None:
        if target == "us":
            late.append(threading.Thread(target=finish, args=(delivery,)))
            late[-1].start()
            raise DeadlineExceeded

    silos.transport.before = before
    silos.drain()
    clock.advance(60)
    silos.drain()
    assert len(late) == 2
    assert at_end(silos, change).state is RequestState.RUNNING
    check_always(silos.control, silos.regions)
    go_on.set()
    for thread in late:
        thread.join(20)

    lines_are_good(silos, clock)

    one_organization(silos, change)


def test_fault_S1_control_that_dies_after_holding_finishes_the_rename(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    change = ask_rename(silos, organization, "other")
    assert at_end(silos, change).state is RequestState.RUNNING
    check_always(silos.control, silos.regions)
    lines_are_good(silos, clock)
    renamed_once(silos, change)


def test_fault_S1_control_that_dies_before_commit_has_held_nothing(
    silos: Silos, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = id_of(made(silos))
    with crash_at(monkeypatch, "rename.held"), pytest.raises(CrashError):
        ask_rename(silos, organization, "other")
    assert list(reservations(silos.control)) == ["acme"]
    check_quiet(silos.control, silos.regions)


def test_fault_S2_a_region_that_applied_and_was_not_heard_is_asked_again(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    lost = replies_are_lost(silos, "us", "apply_slugs")
    change = ask_rename(silos, organization, "other")
    silos.drain("control")
    clock.advance(60)
    silos.drain("control")
    assert lost() >= 2
    assert region_slugs(silos.regions["us"]) == {organization: "other"}
    lines_are_good(silos, clock)
    renamed_once(silos, change)


def test_fault_S3_the_former_slug_is_nobody_elses_until_control_has_heard(
    silos: Silos, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization, second = id_of(made(silos)), id_of(made(silos, slug="second", region="de"))
    change = ask_rename(silos, organization, "other", redirect_ttl_s=0)
    silos.drain("control")
    assert region_slugs(silos.regions["us"]) == {organization: "other"}
    assert set(reservations(silos.control)) == {"acme", "other", "second"}
    receiver = silos.transport.receivers["control"]

    def control_dies(target: str, delivery: Delivery) -> None:
        if target == "control":
            with crash_at(monkeypatch, "before_commit"):
                receiver(delivery)
            raise PeerUnavailable

    silos.transport.before = control_dies
    silos.drain("us")
    assert at_end(silos, change).state is RequestState.RUNNING
    check_always(silos.control, silos.regions)
    with pytest.raises(SlugTaken):
        ask_rename(silos, second, "acme")
    assert ask(silos).slug.startswith("acme-")
    with pytest.raises(SlugChangePending):
        ask_rename(silos, organization, "third")

    lines_are_good(silos, clock)

    renamed_once(silos, change)
    assert ask_rename(silos, second, "acme").slug == "acme"
    silos.drain()
    check_quiet(silos.control, silos.regions)


def test_case_34_and_faults_B1_B2_an_import_that_was_cut_is_finished_by_its_repeat(
    silos: Silos, clock: FakeClock
) -> None:
    first, second, third = organization_ids(1, 3)
    wishes = [(first, "acme"), (second, "Acme"), (third, "other")]
    add_organizations(silos.regions["us"], wishes)
    reserved = silos.reserve("us", wishes[:2])
    silos.drain()
    late = silos.reserve("us", wishes)
    down(silos, "us", "control")
    silos.drain()
    check_always(silos.control, silos.regions)
    assert region_slugs(silos.regions["us"])[third] is None

    again = silos.reserve("us", wishes)
    lines_are_good(silos, clock)

    assert [given.slug for given in again] == [given.slug for given in late]
    assert [given.slug for given in again[:2]] == [given.slug for given in reserved]
    assert len(set(region_slugs(silos.regions["us"]).values())) == 3
    check_quiet(silos.control, silos.regions)


def test_case_36_an_empty_import_is_a_no_op(silos: Silos) -> None:
    assert silos.reserve("us", []) == []
    check_quiet(silos.control, silos.regions)


def test_fault_B4_two_regions_that_import_one_slug_suffix_the_loser_only(silos: Silos) -> None:
    (ours,), (theirs,) = organization_ids(1, 1), organization_ids(2, 1)
    add_organizations(silos.regions["us"], [(ours, "acme")])
    add_organizations(silos.regions["de"], [(theirs, "acme")])
    assert silos.reserve("us", [(ours, "acme")])[0].slug == "acme"
    assert silos.reserve("de", [(theirs, "acme")])[0].slug.startswith("acme-")
    silos.drain()
    check_quiet(silos.control, silos.regions)


def renamed_once(silos: Silos, change: Change) -> None:
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert record_state(silos, change) == "SUCCEEDED"
    assert region_slugs(silos.regions["us"])[change.organization_id] == change.slug
    check_quiet(silos.control, silos.regions)


def categories(delivery: Delivery) -> set[str]:
    return {message.category for shard in delivery.shards for message in shard.messages}
