"""The whole conversation on three databases: reserve, call back, apply, promote; with repeats, delays and clashes."""

import random
from dataclasses import replace

import pytest
from sqlalchemy import text

from control_silo.callbacks.registry import receiving_registry
from region_silo.slugs.usecases import announce_organizations
from shared import delivery as shapes
from shared.errors import PeerRefused, PeerUnavailable
from shared.outbox.domain import Delivery, Message, Outcome, ShardDelivery
from shared.outbox.inbox import receive
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
from tests.invariants import check_always

pytestmark = pytest.mark.integration

PRIMARY_ACTIVE = (0, 1)
TEMPORARY_HELD = (2, 0)


def mapping_slugs(silos: Silos) -> dict[object, object]:
    return dict(rows(silos.control, "SELECT organization_id, slug FROM organization_mapping"))  # type: ignore[arg-type]


def assert_quiet(silos: Silos, region: str) -> None:
    """Every organization of the region has one PRIMARY that region and mapping agree on, and nothing waits."""
    assert pending(silos.control) == 0
    assert all(pending(database) == 0 for database in silos.regions.values())
    held = rows(
        silos.control,
        "SELECT organization_id, slug FROM slug_reservation WHERE region = :region AND type = 0 AND state = 1",
        region=region,
    )
    assert dict(held) == region_slugs(silos.regions[region])  # type: ignore[arg-type]
    mapped = "SELECT organization_id, slug FROM organization_mapping WHERE region = :region"
    assert sorted(rows(silos.control, mapped, region=region)) == sorted(held)
    assert rows(silos.control, "SELECT * FROM slug_reservation WHERE type <> 0") == []


def test_case_34_three_organizations_two_with_one_slug_get_three_primaries(silos: Silos) -> None:
    first, second, third = organization_ids(1, 3)
    wishes = [(first, "Acme Corp"), (second, "acme_corp"), (third, "other")]
    add_organizations(silos.regions["us"], wishes)

    reserved = silos.reserve("us", wishes)

    assert [given.organization_id for given in reserved] == [first, second, third]
    assert reserved[0].slug == "acme-corp"
    assert reserved[1].slug.startswith("acme-corp-")
    assert reserved[2].slug == "other"
    assert not any(given.finished for given in reserved)
    assert {row[1:3] for row in reservations(silos.control).values()} == {TEMPORARY_HELD}
    assert set(mapping_slugs(silos).values()) == {None}
    silos.drain()
    assert region_slugs(silos.regions["us"]) == {given.organization_id: given.slug for given in reserved}
    assert_quiet(silos, "us")
    assert set(silos.woken) == {"imports"}
    states = rows(silos.control, "SELECT name, state, version FROM organization_mapping ORDER BY organization_id")
    assert states[0] == ("Name of Acme Corp", "importing", 2)


def test_repeat_before_the_callback_queues_nothing_twice(silos: Silos) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    first = silos.reserve("us", [(organization, "acme")])

    again = silos.reserve("us", [(organization, "acme")])

    assert again == first
    assert pending(silos.control) == 1


def test_repeat_after_the_callback_renames_nobody(silos: Silos) -> None:
    organizations = organization_ids(1, 4)
    wishes = [(organization, "acme") for organization in organizations]
    add_organizations(silos.regions["us"], wishes)
    first = silos.reserve("us", wishes[:3])
    silos.drain()

    again = silos.reserve("us", wishes)

    assert [given.slug for given in again[:3]] == [given.slug for given in first]
    assert [given.finished for given in again] == [True, True, True, False]
    assert pending(silos.control) == 1
    silos.drain()
    assert_quiet(silos, "us")


def test_reserving_nothing_does_nothing(silos: Silos) -> None:
    assert silos.reserve("us", []) == []
    assert pending(silos.control) == 0


def test_two_regions_with_one_slug_suffix_the_later_only(silos: Silos) -> None:
    (ours,), (theirs,) = organization_ids(1, 1), organization_ids(2, 1)
    add_organizations(silos.regions["us"], [(ours, "acme")])
    add_organizations(silos.regions["de"], [(theirs, "ACME")])

    first = silos.reserve("de", [(theirs, "ACME")])
    second = silos.reserve("us", [(ours, "acme")])
    silos.drain()

    assert first[0].slug == "acme"
    assert second[0].slug.startswith("acme-")
    assert_quiet(silos, "us")
    assert_quiet(silos, "de")


@pytest.mark.parametrize("wish", ["123456", "API", "--", "日本", ""])
def test_no_slug_is_reserved_numeric_or_empty(silos: Silos, wish: str) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, wish)])

    (given,) = silos.reserve("us", [(organization, wish)])
    silos.drain()

    assert given.slug
    assert not given.slug.isdigit()
    assert given.slug != "api"
    assert not wish.isdigit() or given.slug.startswith(f"{wish}-")
    assert_quiet(silos, "us")


def test_more_pairs_than_one_message_holds_go_in_parts(silos: Silos) -> None:
    wishes = [(organization, f"org-{place}") for place, organization in enumerate(organization_ids(1, 1_234))]
    add_organizations(silos.regions["us"], wishes)

    silos.reserve("us", wishes)

    assert pending(silos.control) == 3
    silos.drain()
    assert_quiet(silos, "us")


def test_clash_in_the_region_gets_the_next_suffix_and_fails_no_other(silos: Silos) -> None:
    stranger, first, second = organization_ids(1, 3)
    add_organizations(silos.regions["us"], [(stranger, "x"), (first, "acme"), (second, "other")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme' WHERE id = :id", id=stranger)

    silos.reserve("us", [(first, "acme"), (second, "other")])
    silos.drain()

    slugs = region_slugs(silos.regions["us"])
    assert slugs[stranger] == "acme"
    assert str(slugs[first]).startswith("acme-")
    assert slugs[second] == "other"
    assert "acme" not in reservations(silos.control)
    assert reservations(silos.control)[slugs[first]] == (first, *PRIMARY_ACTIVE, 2)
    assert mapping_slugs(silos) == {first: slugs[first], second: "other"}


def test_organization_that_the_region_misses_keeps_neither_hold_nor_mapping(silos: Silos) -> None:
    missing, present = organization_ids(1, 2)
    add_organizations(silos.regions["us"], [(present, "there")])

    silos.reserve("us", [(missing, "gone"), (present, "there")])
    silos.drain()

    assert set(reservations(silos.control)) == {"there"}
    assert mapping_slugs(silos) == {present: "there"}
    assert_quiet(silos, "us")


def test_repeated_and_reordered_callbacks_change_nothing(silos: Silos) -> None:
    wishes = [(organization, "acme") for organization in organization_ids(1, 3)]
    add_organizations(silos.regions["us"], wishes)
    silos.reserve("us", wishes)
    silos.drain()
    slugs, held = region_slugs(silos.regions["us"]), reservations(silos.control)
    repeats = list(silos.transport.seen)
    random.Random(7).shuffle(repeats)

    for target, delivery in (*repeats, *repeats):
        results = silos.transport.receivers[target](delivery)
        assert {result.outcome for result in results} <= {Outcome.APPLIED, Outcome.GAP}

    assert region_slugs(silos.regions["us"]) == slugs
    assert reservations(silos.control) == held
    assert_quiet(silos, "us")


def test_late_callback_of_an_older_fence_changes_nothing(silos: Silos) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])
    silos.drain()
    late = message("imports/1/late", shapes.APPLY_SLUGS.name, shapes.ApplySlugs("imports/1", (pair(organization, 1),)))

    (result,) = silos.transport.receivers["us"](replace(late, epoch=epoch_of(silos, "control")))
    silos.drain()

    assert result.outcome is Outcome.APPLIED
    assert region_slugs(silos.regions["us"]) == {organization: "acme"}
    assert_quiet(silos, "us")


def test_late_answer_of_an_older_fence_changes_nothing(silos: Silos) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])
    before = reservations(silos.control)

    for refusal in ("", shapes.CLASH, shapes.MISSING):
        for slug, fence_version in (("acme", 0), ("acme", 2), ("other", 1)):
            answer = shapes.SlugsApplied("imports/1", (shapes.SlugResult(organization, slug, fence_version, refusal),))
            aggregate = f"imports/1/{refusal}{slug}{fence_version}"
            late = message(aggregate, shapes.SLUGS_APPLIED.name, answer, origin="us")
            (result,) = silos.transport.receivers["control"](replace(late, epoch=epoch_of(silos, "us")))
            assert result.outcome is Outcome.APPLIED

    assert reservations(silos.control) == before


def test_region_may_not_reserve_for_another_regions_organizations(silos: Silos) -> None:
    (ours,), (theirs,) = organization_ids(1, 1), organization_ids(2, 1)

    with pytest.raises(PeerRefused):
        silos.reserve("us", [(ours, "acme"), (theirs, "other")])

    assert reservations(silos.control) == {}
    assert mapping_slugs(silos) == {}


def test_mapping_decides_over_the_number_in_the_id(silos: Silos) -> None:
    (moved,) = organization_ids(2, 1)
    execute(
        silos.control,
        "INSERT INTO organization_mapping VALUES (:id, NULL, 'Moved', 'us', 'active', 1, :now, :now)",
        id=moved,
        now=silos.clock.now(),
    )

    with pytest.raises(PeerRefused):
        silos.reserve("de", [(moved, "moved")])
    assert silos.reserve("us", [(moved, "moved")])[0].slug == "moved"


def test_region_may_not_answer_for_another_regions_organizations(silos: Silos) -> None:
    (ours,) = organization_ids(1, 1)
    silos.reserve("us", [(ours, "acme")])
    before = reservations(silos.control)
    answer = shapes.SlugsApplied("imports/1", (shapes.SlugResult(ours, "acme", 1),))

    (result,) = silos.transport.receivers["control"](
        message("imports/1/x", shapes.SLUGS_APPLIED.name, answer, origin="de")
    )

    assert (result.outcome, result.reason) == (Outcome.REFUSED, "PEER_REFUSED")
    assert reservations(silos.control) == before


def test_delivery_in_another_silos_name_is_refused(silos: Silos) -> None:
    forged = message("imports/1/x", shapes.SLUGS_APPLIED.name, shapes.SlugsApplied("imports/1", ()), origin="us")
    from tests.integration.callbacks.silos import arrived

    with pytest.raises(PeerRefused):
        arrived(forged, "de")


def test_state_of_an_organization_without_a_mapping_waits_for_its_reservation(silos: Silos, clock: FakeClock) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.regions["us"].transact(lambda transaction: announce_organizations(transaction, [organization]))

    report = silos.drain()

    assert report.refused == 1
    assert pending(silos.regions["us"]) == 1
    silos.reserve("us", [(organization, "acme")])
    clock.advance(10)
    silos.drain()
    assert_quiet(silos, "us")


def test_name_and_life_follow_the_region_by_version(silos: Silos) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])
    silos.drain()

    def activate(transaction: object) -> None:
        transaction.execute(  # type: ignore[attr-defined]
            text("UPDATE organization SET state = 1, name = 'Acme Inc', version = version + 1")
        )
        announce_organizations(transaction, [organization])  # type: ignore[arg-type]

    silos.regions["us"].transact(activate)
    silos.drain()

    told = rows(silos.control, "SELECT name, state, version, slug FROM organization_mapping")
    assert told == [("Acme Inc", "active", 3, "acme")]


def test_case_36_and_fault_B3_a_callback_does_not_wait_behind_a_backlog_of_ten_thousand(silos: Silos) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    execute(
        silos.control,
        """
        INSERT INTO outbox_message (target, aggregate, sequence, category, subject, created_at)
        SELECT 'us', 'tokens/1', n, 'token', '1', :now FROM generate_series(1, 10000) AS n
        """,
        now=silos.clock.now(),
    )
    execute(silos.control, "INSERT INTO outbox_shard VALUES ('us', 'tokens/1', 10000)")

    silos.reserve("us", [(organization, "acme")])
    for _ in range(2):
        for name in ("control", "us"):
            silos.drainers[name].drain_once()

    assert region_slugs(silos.regions["us"]) == {organization: "acme"}
    assert reservations(silos.control)["acme"][1:3] == PRIMARY_ACTIVE
    assert pending(silos.control) > 5_000
    check_always(silos.control, silos.regions)


def test_region_that_is_down_for_an_hour_gets_its_slugs_afterwards(silos: Silos, clock: FakeClock) -> None:
    wishes = [(organization, "acme") for organization in organization_ids(1, 2)]
    add_organizations(silos.regions["us"], wishes)
    silos.reserve("us", wishes)

    def down(target: str, delivery: Delivery) -> None:
        if target == "us":
            raise PeerUnavailable

    silos.transport.before = down
    for _ in range(60):
        silos.drain()
        clock.advance(60)
    assert region_slugs(silos.regions["us"]) == {wishes[0][0]: None, wishes[1][0]: None}
    assert {row[1:3] for row in reservations(silos.control).values()} == {TEMPORARY_HELD}
    silos.transport.before = lambda target, delivery: None
    silos.drain()
    clock.advance(60)
    silos.drain()
    assert_quiet(silos, "us")


def test_unknown_category_is_refused_not_lost(silos: Silos) -> None:
    forged = message("tokens/1", shapes.TOKEN.name, shapes.SlugsApplied("x", ()), origin="us")

    (result,) = receive(silos.control, receiving_registry("us"), forged)

    assert result.outcome is Outcome.REFUSED


def pair(organization_id: int, fence_version: int) -> shapes.SlugPair:
    return shapes.SlugPair(organization_id, "stale", fence_version)


def message(
    aggregate: str, category: str, payload: shapes.Payload, *, origin: str = "control", epoch: str | None = None
) -> Delivery:
    sent = Message(aggregate, 1, category, "subject", payload=shapes.encode(payload))
    return Delivery(origin, epoch or "00000000-0000-4000-8000-000000000001", (ShardDelivery(aggregate, 0, 1, (sent,)),))


def epoch_of(silos: Silos, silo: str) -> str:
    database = silos.control if silo == "control" else silos.regions[silo]
    return str(rows(database, "SELECT epoch FROM silo_identity")[0][0])
