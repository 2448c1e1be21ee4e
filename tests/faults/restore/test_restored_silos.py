"""A silo comes back from an older backup: until doctor has run nothing is damaged, afterwards all is kept."""

import grpc
import pytest
from siloway.common.v1 import outbox_service_pb2 as outbox_pb
from siloway.control.v1 import organization_service_pb2 as organization_pb

from control_silo.tokens.usecases import revoke_token
from siloway_client.doctor.restoring import NotClosed
from tests.integration.callbacks.silos import execute, region_slugs, reservations, rows
from tests.integration.doctor.world import World, reason_of
from tests.integration.provisioning.asking import ask, ask_rename, ask_swap, at_end, id_of, made, new_id, renamed
from tests.invariants import check_quiet

pytestmark = [pytest.mark.integration, pytest.mark.faults]


def quiet(world: World) -> None:
    check_quiet(world.silos.control, world.silos.regions)


def token_id(world: World, name: str) -> int:
    (found,) = rows(world.database("control"), "SELECT id FROM token WHERE name = :name", name=name)
    assert isinstance(found[0], int)
    return found[0]


def tokens_of(world: World, silo: str) -> dict[object, object]:
    return dict(rows(world.database(silo), "SELECT name, revoked_at IS NOT NULL FROM token"))  # type: ignore[arg-type]


def new_work_succeeds(world: World) -> None:
    """A provision, a rename and a swap across regions, from end to end."""
    first, second = made(world.silos, slug="fresh", region="us"), made(world.silos, slug="fresher", region="de")
    assert (first.state.value, second.state.value) == ("SUCCEEDED", "SUCCEEDED")
    assert renamed(world.silos, id_of(first), "freshest").state.value == "SUCCEEDED"
    change = ask_swap(world.silos, {id_of(first): "fresher", id_of(second): "freshest"})
    world.drain()
    assert at_end(world.silos, change).state.value == "SUCCEEDED"
    quiet(world)


def test_a_restored_control_takes_over_what_the_regions_have(world: World) -> None:
    silos = world.silos
    a, b, c = (made(silos, slug=slug, region=region) for slug, region in (("a", "us"), ("b", "us"), ("c", "de")))
    world.mint("revoked later")
    execute(silos.control, "INSERT INTO announcement_counter VALUES (:id, 5)", id=id_of(a))
    world.drain()
    backup = world.back_up("control")

    late_id = new_id()
    late = made(silos, request_id=late_id, slug="late", region="de")
    assert renamed(silos, id_of(a), "a2").state.value == "SUCCEEDED"
    ask_swap(silos, {id_of(b): "c", id_of(c): "b"})
    world.mint("made later")
    silos.control.transact(lambda transaction: revoke_token(transaction, token_id(world, "revoked later")))
    world.drain()
    quiet(world)
    before = {name: region_slugs(database) for name, database in silos.regions.items()}
    highest = rows(silos.control, "SELECT max(id) FROM token")[0][0]

    world.restore("control", backup)
    done = world.run_doctor("control")

    quiet(world)
    assert done.left == {}
    assert {name: region_slugs(database) for name, database in world.silos.regions.items()} == before
    held = {slug: row[:2] for slug, row in reservations(world.silos.control).items()}
    assert held == {
        "a2": (id_of(a), 0),
        "a": (id_of(a), 3),
        "c": (id_of(b), 0),
        "b": (id_of(c), 0),
        "late": (id_of(late), 0),
    }
    assert tokens_of(world, "us") == tokens_of(world, "control") == {"operator": False, "revoked later": True}
    counted = rows(world.silos.control, "SELECT organization_id FROM announcement_counter WHERE value > 1005")
    assert {(id_of(a),), (id_of(b),)} <= set(counted), (
        "whoever follows announcements knows numbers that control has forgotten"
    )
    assert id_of(made(world.silos, request_id=late_id, slug="late", region="de")) == id_of(late), "I9"
    assert made(world.silos, slug="late", region="us").slug != "late", "no slug is given twice"
    world.mint("after")
    assert token_id(world, "after") > highest, "I10"  # type: ignore[operator]
    new_work_succeeds(world)
    assert world.findings() == []
    audited = {row[0] for row in rows(world.silos.control, "SELECT action FROM audit_entry")}
    assert {"doctor.agree_on_epoch", "organization.repair", "doctor.end_restoration"} <= audited


def test_a_restored_region_loses_what_its_backup_lacks_and_keeps_controls_slugs(world: World) -> None:
    silos = world.silos
    a, b = made(silos, slug="a", region="us"), made(silos, slug="b", region="us")
    c = made(silos, slug="c", region="de")
    backup = world.back_up("us")

    late_id = new_id()
    late = made(silos, request_id=late_id, slug="late", region="us")
    renamed(silos, id_of(c), "c2")
    ask_swap(silos, {id_of(a): "b", id_of(b): "a"})
    world.mint("made later")
    world.drain()
    quiet(world)

    world.restore("us", backup)
    done = world.run_doctor("us")

    quiet(world)
    assert done.left == {}
    assert region_slugs(world.database("us")) == {id_of(a): "b", id_of(b): "a"}
    assert "late" not in reservations(world.silos.control)
    assert tokens_of(world, "us") == {"operator": False, "made later": False}
    again = made(world.silos, request_id=late_id, slug="late", region="us")
    assert (again.state.value, again.error and again.error.reason) == ("FAILED", "LOST_IN_RESTORE")
    reborn = made(world.silos, slug="late", region="us")
    assert reborn.slug == "late"
    assert id_of(reborn) != id_of(late), "I10"
    new_work_succeeds(world)
    assert world.findings() == []


@pytest.mark.parametrize("restored", ["control", "us"])
@pytest.mark.parametrize("delivered", ["nothing", "asked", "answered"])
def test_a_restore_while_messages_were_in_flight_in_both_directions(
    world: World, restored: str, delivered: str
) -> None:
    """The backup holds a provision, a rename and a swap that were asked, or were done and not yet answered."""
    silos = world.silos
    a, b, c = (made(silos, slug=slug, region=region) for slug, region in (("a", "us"), ("b", "us"), ("c", "de")))
    changes = [
        ask(silos, slug="flying", region="us"),
        ask_rename(silos, id_of(a), "a2"),
        ask_swap(silos, {id_of(b): "c", id_of(c): "b"}),
    ]
    execute(silos.regions["us"], "UPDATE organization SET name = 'Other', version = version + 1")
    if delivered in {"asked", "answered"}:
        silos.drain("control")
    if delivered == "answered":
        silos.drain("us", "de")
    backup = world.back_up(restored)
    world.drain()
    quiet(world)

    world.restore(restored, backup)
    done = world.run_doctor(restored)

    assert done.left == {}
    quiet(world)
    states = {at_end(world.silos, change).state.value for change in changes}
    assert states <= {"SUCCEEDED", "FAILED"}
    if restored == "control":
        assert states == {"SUCCEEDED"}, "what the regions have done was done"
    new_work_succeeds(world)
    assert world.findings() == []


@pytest.mark.parametrize("restored", ["control", "us"])
def test_until_doctor_has_agreed_the_peers_refuse_a_restored_silo_and_it_takes_nothing(
    world: World, restored: str
) -> None:
    silos = world.silos
    a = made(silos, slug="a", region="us")
    backup = world.back_up(restored)
    renamed(silos, id_of(a), "a2")
    world.mint("made later")
    world.drain()
    world.restore(restored, backup)
    peer = "us" if restored == "control" else "control"
    before = rows(world.database(peer), "SELECT aggregate, last_sequence FROM inbox_shard ORDER BY 1")

    if restored == "control":
        ask_rename(world.silos, id_of(a), "a3")  # past its closed door, as nobody can
    else:
        execute(world.database("us"), "UPDATE organization SET version = version + 1")
        RegionAnnouncement(world, id_of(a))
    world.silos.transport.before = lambda _target, _delivery: None
    report = world.silos.drainers[restored].drain_once()

    assert (report.delivered, report.refused) == (0, 1)
    (error,) = rows(world.database(restored), "SELECT last_error FROM outbox_message")
    assert str(error[0]).startswith("EPOCH_UNKNOWN")
    assert rows(world.database(peer), "SELECT aggregate, last_sequence FROM inbox_shard ORDER BY 1") == before
    checker = world.checker()
    assert checker.control is not None
    control, region = checker.control, checker.regions["us"]

    def any_other_call() -> object:
        if restored == "control":
            return control.organizations.ListOrganizations(organization_pb.ListOrganizationsRequest())
        return region.outbox.ListShards(outbox_pb.ListShardsRequest())

    with pytest.raises(grpc.RpcError) as caught:
        any_other_call()
    assert reason_of(caught.value) == "SILO_RESTORED"


def test_a_restore_that_nobody_told_of_is_noticed_by_what_the_target_has_applied(world: World) -> None:
    silos = world.silos
    a = made(silos, slug="a", region="us")
    backup = world.back_up("us")
    for _ in range(2):
        execute(world.database("us"), "UPDATE organization SET name = 'New', version = version + 1")
        RegionAnnouncement(world, id_of(a))
    world.drain()
    world.restore("us", backup, notice=False)
    execute(world.database("us"), "UPDATE organization SET name = 'Other', version = version + 1")
    RegionAnnouncement(world, id_of(a))

    assert world.silos.drainers["us"].drain_once().delivered == 0

    ((error,),) = rows(world.database("us"), "SELECT last_error FROM outbox_message")
    assert "RECEIVER_AHEAD" in str(error), "it would have been dropped there as a repeat"
    assert ("us", "out_of_step") in {finding[:2] for finding in world.findings()}


def test_after_restore_is_refused_for_a_silo_that_was_not_told_of_it(world: World) -> None:
    with pytest.raises(NotClosed, match="python -m region_silo --region us restored"):
        world.run_doctor("us")


def test_what_two_organizations_claim_is_said_and_not_guessed(world: World) -> None:
    silos = world.silos
    a, c = made(silos, slug="a", region="us"), made(silos, slug="c", region="de")
    backup = world.back_up("control")
    ask_swap(silos, {id_of(a): "c", id_of(c): "a"})
    silos.transport.before = lambda target, _delivery: _only("us", target)
    silos.drain("control")  # the other region has not heard of it

    world.restore("control", backup)
    done = world.run_doctor("control")

    assert done.left == {id_of(a): f"c is claimed by organizations/{id_of(c)} too"}
    assert [finding[:2] for finding in world.findings()] == [("us", "organization_slug")]
    assert renamed(world.silos, id_of(a), "a9").state.value == "SUCCEEDED"
    assert world.findings() == []


class RegionAnnouncement:
    """Tells control of an organization, as the region does when its row has changed."""

    def __init__(self, world: World, organization_id: int) -> None:
        from region_silo.slugs.usecases import announce_organizations

        world.database("us").transact(lambda transaction: announce_organizations(transaction, [organization_id]))


def _only(allowed: str, target: str) -> None:
    from shared.errors import PeerUnavailable

    if target != allowed:
        raise PeerUnavailable("cut")
