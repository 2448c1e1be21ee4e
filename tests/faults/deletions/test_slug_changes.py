"""Row S5 of the fault matrix: an organization that is deleted while its slug changes."""

import pytest

from region_silo.deletions.purging import Purger as RegionPurger
from shared.deletion import DeletionStage
from shared.errors import PeerUnavailable
from shared.requests import RequestState
from tests.clock import FakeClock
from tests.faults.deletions.steps import NOW, all_gone
from tests.faults.provisioning.test_faults import down, lines_are_good
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    execute,
    organization_ids,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.deletions.deleting import (
    ask_delete,
    ask_undelete,
    carry_on,
)
from tests.integration.provisioning.asking import ask_rename, ask_swap, at_end, id_of, made
from tests.invariants import check_always, check_quiet

pytestmark = [pytest.mark.faults, pytest.mark.integration]


@pytest.mark.parametrize("first", ["rename", "deletion"])
def test_fault_S5_a_rename_that_runs_ends_before_the_purge_begins(silos: Silos, clock: FakeClock, first: str) -> None:
    organization = id_of(made(silos))
    down(silos, "us")
    change = ask_rename(silos, organization, "acme-2")
    ask_delete(silos, organization, grace=NOW)
    silos.drain()
    carry_on(silos)
    assert rows(silos.control, "SELECT deletion FROM organization_mapping") == [(DeletionStage.PENDING,)]
    check_always(silos.control, silos.regions)

    def before(target: str, delivery: object) -> None:
        categories = {message.category for shard in delivery.shards for message in shard.messages}  # type: ignore[attr-defined]
        if first == "deletion" and "apply_slugs" in categories and rows(silos.regions["us"], _UNTOLD):
            raise PeerUnavailable

    lines_are_good(silos, clock)
    silos.transport.before = before
    carry_on(silos)
    clock.advance(60)
    carry_on(silos)
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    all_gone(silos, organization)
    assert {slug: row[2] for slug, row in reservations(silos.control).items()} == {"acme": 2, "acme-2": 2}


_UNTOLD = "SELECT 1 FROM organization WHERE deletion = 0"


def test_fault_S5_a_rename_whose_region_lost_the_organization_fails_and_leaves_nothing(silos: Silos) -> None:
    organization = id_of(made(silos))
    change = ask_rename(silos, organization, "acme-2")
    execute(silos.regions["us"], "UPDATE organization SET deletion = 2")
    RegionPurger(silos.regions["us"]).run_once()
    silos.drain("us")
    assert rows(silos.control, "SELECT deletion FROM organization_mapping") == [(DeletionStage.GONE,)]
    carry_on(silos)
    ended = at_end(silos, change)
    assert (ended.state, ended.error and ended.error.reason) == (RequestState.FAILED, "ORGANIZATION_NOT_FOUND")
    all_gone(silos, organization)


def test_fault_S5_a_swap_whose_region_lost_one_goes_back_for_the_other(silos: Silos) -> None:
    here, there = id_of(made(silos)), id_of(made(silos, slug="beta", region="de"))
    change = ask_swap(silos, {here: "beta", there: "acme"})
    execute(silos.regions["us"], "UPDATE organization SET deletion = 2")
    RegionPurger(silos.regions["us"]).run_once()
    silos.drain("us")
    check_always(silos.control, silos.regions)
    carry_on(silos)
    assert at_end(silos, change).state is RequestState.FAILED
    assert region_slugs(silos.regions["de"]) == {there: "beta"}
    all_gone(silos, here)


def test_fault_S5_a_swap_that_runs_ends_before_the_purge_begins(silos: Silos, clock: FakeClock) -> None:
    here, there = id_of(made(silos)), id_of(made(silos, slug="beta", region="de"))
    down(silos, "de")
    change = ask_swap(silos, {here: "beta", there: "acme"})
    ask_delete(silos, here, grace=NOW)
    silos.drain()
    carry_on(silos)
    assert rows(silos.control, "SELECT deletion FROM organization_mapping WHERE organization_id = :id", id=here) == [
        (DeletionStage.PENDING,)
    ]
    lines_are_good(silos, clock)
    carry_on(silos)
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert region_slugs(silos.regions["de"]) == {there: "acme"}
    all_gone(silos, here)


def test_fault_S5_an_import_whose_organization_is_deleted_keeps_no_reservation(silos: Silos, clock: FakeClock) -> None:
    ids = organization_ids(1, 2)
    wishes = [(organization, f"acme-{place}") for place, organization in enumerate(ids)]
    add_organizations(silos.regions["us"], wishes)
    down(silos, "us")
    silos.reserve("us", wishes)
    ask_delete(silos, ids[0], grace=NOW)
    silos.drain()
    carry_on(silos)
    check_always(silos.control, silos.regions)
    assert {row[1] for row in reservations(silos.control).values()} == {2}, "both are TEMPORARY"
    lines_are_good(silos, clock)
    carry_on(silos)
    all_gone(silos, ids[0])
    assert region_slugs(silos.regions["us"]) == {ids[1]: "acme-1"}


def test_fault_S5_an_undeleted_organization_of_a_rename_goes_on_with_it(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    down(silos, "us")
    change = ask_rename(silos, organization, "acme-2")
    ask_delete(silos, organization)
    ask_undelete(silos, organization)
    lines_are_good(silos, clock)
    carry_on(silos)
    assert at_end(silos, change).state is RequestState.SUCCEEDED
    assert region_slugs(silos.regions["us"]) == {organization: "acme-2"}
    check_quiet(silos.control, silos.regions)
