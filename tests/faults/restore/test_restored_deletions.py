"""A silo comes back from a backup that is older than a deletion: what was purged stays so, and both sides agree."""

from datetime import timedelta

import pytest

from control_silo.deletions.domain import Deletions
from control_silo.deletions.purging import Purger
from shared.deletion import DeletionStage
from tests.integration.callbacks.silos import execute, reservations, rows
from tests.integration.deletions.deleting import ask_delete, ask_undelete, left_in_control, left_in_region
from tests.integration.doctor.world import World
from tests.integration.provisioning.asking import id_of, made
from tests.invariants import check_quiet

pytestmark = [pytest.mark.integration, pytest.mark.faults]

QUARANTINED = 2


def quiet(world: World) -> None:
    check_quiet(world.silos.control, world.silos.regions)


def organization(world: World, slug: str = "acme") -> int:
    found = id_of(made(world.silos, slug=slug, region="us"))
    world.drain()
    return found


def purge(world: World, organization_id: int) -> None:
    ask_delete(world.silos, organization_id, grace=timedelta())
    world.drain()
    assert left_in_region(world.database("us"), organization_id) == {}
    assert left_in_control(world.silos, organization_id) == {}


def stages(world: World, organization_id: int) -> tuple[tuple[object, object], tuple[object, object]]:
    """(stage, purge time) in control and in the region."""
    mapped = "SELECT deletion, purge_at FROM organization_mapping WHERE organization_id = :id"
    made_there = "SELECT deletion, purge_at FROM organization WHERE id = :id"
    ((one, one_at),) = rows(world.database("control"), mapped, id=organization_id)
    ((other, other_at),) = rows(world.database("us"), made_there, id=organization_id)
    return (one, one_at), (other, other_at)


@pytest.mark.parametrize("forgotten", ["audit", "tombstone"])
def test_a_restored_region_purges_again_what_was_purged_since(world: World, forgotten: str) -> None:
    gone, kept = organization(world), organization(world, "kept")
    backup = world.back_up("us")
    purge(world, gone)
    statement = "DELETE FROM audit_entry" if forgotten == "audit" else "DELETE FROM outbox_tombstone"

    execute(world.silos.control, statement)

    world.restore("us", backup)
    done = world.run_doctor("us")

    assert done.left == {}
    assert left_in_region(world.database("us"), gone) == {}
    assert left_in_control(world.silos, gone) == {}
    assert reservations(world.silos.control)["acme"][0] is None, "still nobody's"
    assert left_in_region(world.database("us"), kept) != {}
    quiet(world)
    assert world.findings() == []


def test_the_slug_of_what_is_purged_again_may_be_somebody_elses_by_then(world: World) -> None:
    gone = organization(world)
    backup = world.back_up("us")
    purge(world, gone)
    world.clock.advance(91 * 86_400)

    execute(world.silos.control, "DELETE FROM slug_reservation WHERE state = 2")
    successor = id_of(made(world.silos, slug="acme", region="de"))
    world.drain()

    world.restore("us", backup)
    assert world.run_doctor("us").left == {}

    assert left_in_region(world.database("us"), gone) == {}
    assert {slug: held[0] for slug, held in reservations(world.silos.control).items()} == {"acme": successor}
    quiet(world)


def test_a_restored_control_ends_what_was_purged_since_and_its_slugs_rest(world: World) -> None:
    gone = organization(world)
    world.mint("bound", organization_id=gone)
    world.drain()
    backup = world.back_up("control")
    purge(world, gone)

    world.restore("control", backup)
    done = world.run_doctor("control")

    assert done.left == {}
    assert left_in_control(world.silos, gone) == {}
    ((holder, state, expires_at),) = rows(
        world.database("control"), "SELECT organization_id, state, expires_at FROM slug_reservation"
    )
    assert (holder, state) == (None, QUARANTINED)
    assert expires_at is not None
    assert made(world.silos, slug="acme", region="us").slug != "acme", "not free before its quarantine is over"
    quiet(world)
    assert world.findings() == []


@pytest.mark.parametrize("restored", ["control", "us"])
@pytest.mark.parametrize("since", ["deleted", "undeleted"])
def test_both_agree_on_what_is_to_be_deleted_as_the_one_that_was_not_restored_has_it(
    world: World, restored: str, since: str
) -> None:
    silos = world.silos
    acme = organization(world)
    if since == "undeleted":
        ask_delete(silos, acme)
        world.drain()
    backup = world.back_up(restored)
    if since == "deleted":
        ask_delete(silos, acme)
    else:
        ask_undelete(silos, acme)
    world.drain()
    before = stages(world, acme)
    assert before[0] == before[1]

    if since == "undeleted":
        world.clock.advance(31 * 86_400)  # the backup's deletion is due
    world.restore(restored, backup)
    done = world.run_doctor(restored)

    assert done.left == {}
    assert stages(world, acme) == before
    assert before[0][0] == (DeletionStage.PENDING if since == "deleted" else DeletionStage.NONE)
    quiet(world)
    assert world.findings() == []


def test_a_restored_control_goes_on_with_a_purge_that_had_begun(world: World) -> None:
    silos = world.silos
    gone = organization(world)
    ask_delete(silos, gone, grace=timedelta())

    Purger(silos.control, Deletions()).run_once()
    silos.drain()
    backup = world.back_up("control")
    world.drain()
    assert left_in_region(world.database("us"), gone) == {}

    world.restore("control", backup)
    assert world.run_doctor("control").left == {}

    assert left_in_control(world.silos, gone) == {}
    quiet(world)
    assert world.findings() == []


def test_doctor_repairs_a_region_that_was_not_told_of_a_deletion(world: World) -> None:
    acme = organization(world)
    ask_delete(world.silos, acme)
    world.drain()

    execute(world.database("us"), "UPDATE organization SET deletion = 0, purge_at = NULL")
    checker = world.checker()
    found = checker.run().findings
    assert [(each.check, each.repairable) for each in found] == [("organization_deletion", True)]

    assert checker.repair(found) == 1
    world.drain()

    assert stages(world, acme)[0] == stages(world, acme)[1]
    assert checker.run().findings == []
