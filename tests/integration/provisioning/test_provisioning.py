"""Provisioning on healthy silos: what is made, under which slug, once for a request; and what is refused before."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event

from control_silo.changes.domain import CHANNEL
from control_silo.changes.usecases import RETENTION, change_tasks
from shared.cleaner import Cleaner, Task
from shared.errors import InvalidArgument, RequestIdReused
from shared.requests import RequestState
from shared.requests import cleaner as request_cleaner
from tests.clock import FakeClock
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    execute,
    organization_ids,
    pending,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.provisioning.asking import ADA, add_user, ask, at_end, made, new_id, record_state
from tests.invariants import check_always, check_quiet

pytestmark = pytest.mark.integration

PRIMARY_ACTIVE = (0, 1)


def quiet(silos: Silos, strangers: tuple[int, ...] = ()) -> None:
    check_quiet(silos.control, silos.regions, strangers=strangers)


def test_case_18_provisioned_by_user_makes_everything_and_leaves_nothing_waiting(silos: Silos) -> None:
    change = made(silos)

    assert change.state is RequestState.SUCCEEDED
    organization = change.organization_id
    us = silos.regions["us"]
    assert rows(us, "SELECT id, slug, name, state, is_test, fence_version FROM organization") == [
        (organization, "acme", "Acme Inc", 1, False, 1)
    ]
    assert rows(us, "SELECT user_id, email, role, token FROM organization_member") == [(ADA, None, "owner", None)]
    assert rows(us, "SELECT slug, name FROM team") == [("acme-inc", "Acme Inc")]
    assert rows(us, "SELECT count(*) FROM organization_member_team WHERE is_active") == [(1,)]
    mapped = rows(silos.control, "SELECT organization_id, slug, name, region, state, version FROM organization_mapping")
    assert mapped == [(organization, "acme", "Acme Inc", "us", "active", 1)]
    assert reservations(silos.control) == {"acme": (organization, *PRIMARY_ACTIVE, 1)}
    assert record_state(silos, change) == "SUCCEEDED"
    assert silos.closed == [CHANNEL]
    quiet(silos)


def test_owner_by_address_is_invited(silos: Silos) -> None:
    change = made(silos, owner_user_id=None, owner_email="ada@example.com")

    assert change.state is RequestState.SUCCEEDED
    (member,) = rows(silos.regions["us"], "SELECT user_id, email, role, length(token) FROM organization_member")
    assert member == (None, "ada@example.com", "owner", 64)
    quiet(silos)


def test_case_19_without_the_default_team_there_is_none(silos: Silos) -> None:
    made(silos, create_default_team=False, is_test=True)
    assert rows(silos.regions["us"], "SELECT id FROM team") == []
    assert rows(silos.regions["us"], "SELECT is_test FROM organization") == [(True,)]


def test_case_20_a_name_of_128_is_kept_with_64(silos: Silos) -> None:
    made(silos, name="n" * 128)
    assert rows(silos.regions["us"], "SELECT name FROM organization") == [("n" * 64,)]
    assert rows(silos.control, "SELECT name FROM organization_mapping") == [("n" * 64,)]


@pytest.mark.parametrize(
    ("seed", "slug"), [("My_Org--Name", "my-org-name"), ("a" * 29 + "-" + "b" * 15, "a" * 29), ("x" * 45, "x" * 30)]
)
def test_cases_11_and_12_slugs_are_made_from_seeds(silos: Silos, seed: str, slug: str) -> None:
    assert made(silos, slug=seed).slug == slug
    quiet(silos)


def test_case_13_a_seed_of_digits_gets_a_tail(silos: Silos) -> None:
    change = made(silos, slug="123456")
    assert change.slug.startswith("123456-")
    assert not change.slug.isdigit()


@pytest.mark.parametrize("seed", ["API", "--", "日本", "us", "DE"])
def test_case_14_no_slug_is_a_reserved_word_a_regions_name_or_empty(silos: Silos, seed: str) -> None:
    change = made(silos, slug=seed)
    assert change.state is RequestState.SUCCEEDED
    assert change.slug
    assert change.slug not in {"api", "us", "de"}


def test_name_of_a_new_region_is_a_reserved_word_too(silos: Silos) -> None:
    execute(
        silos.control,
        "INSERT INTO region_directory VALUES ('mars', 9, 'h:1', 'h:2', :now)",
        now=silos.clock.now(),
    )
    assert ask(silos, slug="Mars").slug != "mars"


def test_case_15_a_slug_taken_in_another_region_gets_a_suffix(silos: Silos) -> None:
    other = made(silos, region="de")
    change = made(silos)

    assert other.slug == "acme"
    assert change.slug.startswith("acme-")
    assert region_slugs(silos.regions["de"]) == {other.organization_id: "acme"}
    quiet(silos)


@pytest.mark.parametrize(
    "wrong",
    [
        {"region": "mars"},
        {"owner_user_id": None},
        {"owner_email": "ada@example.com"},
        {"owner_user_id": 99},
        {"name": " \t "},
    ],
)
def test_cases_21_22_and_fault_P12_wrong_input_is_refused_before_anything_is_held(
    silos: Silos, wrong: dict[str, object]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ask(silos, **wrong)  # type: ignore[arg-type]

    assert len(caught.value.violations) == 1
    assert reservations(silos.control) == {}
    for table in ("request_record", "organization_change"):
        assert rows(silos.control, f"SELECT * FROM {table}") == []
    assert not pending_kind(silos, "create_organization")


def test_a_user_who_is_not_active_owns_nothing(silos: Silos) -> None:
    add_user(silos, 4002, active=False)
    with pytest.raises(InvalidArgument):
        ask(silos, owner_user_id=4002)


def test_case_23_and_fault_P11_a_conflict_in_the_region_fails_typed_and_frees_the_slug(silos: Silos) -> None:
    (stranger,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(stranger, "x")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme', state = 1")

    change = made(silos)

    assert (change.state, change.organization_id) == (RequestState.FAILED, None)
    assert change.error is not None
    assert (change.error.reason, change.error.metadata["slug"]) == ("SLUG_CONFLICT", "acme")
    assert record_state(silos, change) == "FAILED"
    assert reservations(silos.control) == {}
    assert region_slugs(silos.regions["us"]) == {stranger: "acme"}
    quiet(silos, (stranger,))


def test_fault_P2_a_repeat_gets_the_same_organization_and_holds_nothing_more(silos: Silos) -> None:
    request = new_id()
    first = ask(silos, request)
    again = ask(silos, request)
    silos.drain()
    done = ask(silos, request)

    assert again == first
    assert (done.organization_id, done.slug) == (at_end(silos, first).organization_id, "acme")
    assert len(region_slugs(silos.regions["us"])) == 1
    assert not pending(silos.control)
    quiet(silos)


def test_a_repeat_after_every_retention_gets_the_same_organization(silos: Silos, clock: FakeClock) -> None:
    request = new_id()
    first = ask(silos, request)
    silos.drain()
    clock.advance((RETENTION + timedelta(days=400)).total_seconds())
    requests = Task("requests", RETENTION, request_cleaner.clean, request_cleaner.oldest)
    deleted = Cleaner(silos.control, [requests, *change_tasks()]).clean_once()
    assert deleted == {"requests": 1, "organization_changes": 0}

    again = ask(silos, request)

    assert again == at_end(silos, first)
    assert len(region_slugs(silos.regions["us"])) == 1
    with pytest.raises(RequestIdReused):
        ask(silos, request, slug="other")
    quiet(silos)


def test_another_request_under_the_same_id_is_refused(silos: Silos) -> None:
    request = new_id()
    ask(silos, request)
    with pytest.raises(RequestIdReused):
        ask(silos, request, slug="other")


def test_fault_P13_the_loser_of_a_race_for_a_slug_gets_a_suffix(silos: Silos) -> None:
    inserted, go_on = threading.Event(), threading.Event()
    add_user(silos)

    def hold_the_first(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if "INSERT INTO slug_reservation" in statement and not inserted.is_set():
            inserted.set()
            assert go_on.wait(20)

    event.listen(silos.control.engine, "after_cursor_execute", hold_the_first)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, silos)
        assert inserted.wait(20)
        second = pool.submit(ask, silos, None, region="de")
        assert not second.done()
        go_on.set()
        assert first.result(20).slug == "acme"
        assert second.result(20).slug.startswith("acme-")
    silos.drain()
    quiet(silos)


def test_fifty_at_once_for_one_slug_over_both_regions_all_get_theirs(silos: Silos) -> None:
    add_user(silos)
    start = threading.Barrier(50)

    def one(place: int) -> str:
        start.wait(30)
        return ask(silos, region=("us", "de")[place % 2]).slug

    with ThreadPoolExecutor(50) as pool:
        slugs = list(pool.map(one, range(50)))
    check_always(silos.control, silos.regions)
    silos.drain()

    assert len(set(slugs)) == 50
    assert slugs.count("acme") == 1
    assert all(slug.startswith("acme") for slug in slugs)
    assert sum(len(region_slugs(database)) for database in silos.regions.values()) == 50
    assert {row[2:] for row in rows(silos.control, "SELECT 1, 1, state, error FROM organization_change")} == {
        ("SUCCEEDED", None)
    }
    quiet(silos)


def test_fault_R2_repeated_and_reordered_deliveries_make_no_second_organization(silos: Silos) -> None:
    for region in ("us", "de", "us"):
        made(silos, region=region)
    before = [region_slugs(database) for database in silos.regions.values()]
    repeats = list(silos.transport.seen)
    random.Random(7).shuffle(repeats)

    for target, delivery in (*repeats, *repeats):
        silos.transport.receivers[target](delivery)
    silos.drain()

    assert [region_slugs(database) for database in silos.regions.values()] == before
    quiet(silos)


def pending_kind(silos: Silos, category: str) -> int:
    return len(rows(silos.control, "SELECT 1 FROM outbox_message WHERE category = :category", category=category))
