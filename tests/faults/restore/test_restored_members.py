"""A silo comes back from a backup: then control's mirror of members and the regions' users are true again."""

from collections.abc import Iterator

import pytest

from control_silo.memberships.domain import UserOrganization
from region_silo.members.domain import Role
from region_silo.members.retelling import Retelling
from shared.rpc.call import Caller, acting
from tests.integration.callbacks.silos import Silos, execute, rows
from tests.integration.doctor.world import World
from tests.integration.people.crowd import Crowd
from tests.invariants import check_quiet

pytestmark = [pytest.mark.integration, pytest.mark.faults]

USERS = "SELECT id, CAST(is_active AND NOT is_suspended AS integer) FROM user_account ORDER BY id"


@pytest.fixture
def crowd(world: World) -> Iterator[Crowd]:
    crowd = Crowd(world.silos)
    try:
        yield crowd
    finally:
        crowd.close()


def check_mirror(silos: Silos) -> None:
    """The mirror is what the regions have, and each user of a member is known there as control has it."""
    mirror = rows(
        silos.control,
        "SELECT organization_id, member_id, user_id, email, role FROM organization_membership ORDER BY 1, 2",
    )
    there = [
        row
        for database in silos.regions.values()
        for row in rows(
            database,
            """
            SELECT organization_id, id, user_id, CASE WHEN user_id IS NULL THEN email END, role
            FROM organization_member
            """,
        )
    ]
    assert mirror == sorted(there, key=lambda row: (str(row[0]).zfill(20), str(row[1]).zfill(20)))
    users = {row[0]: row[1] for row in rows(silos.control, USERS)}
    for database in silos.regions.values():
        known = rows(database, "SELECT id, state FROM known_user WHERE id IN (SELECT user_id FROM organization_member)")
        assert known == [(i, (3 if i not in users else 1 if users[i] else 2)) for i, _ in known]
        wrong = """
            SELECT member.id FROM organization_member AS member JOIN known_user AS known ON known.id = member.user_id
            WHERE member.user_is_active <> (known.state = 1)
        """
        assert rows(database, wrong) == []


@pytest.mark.parametrize("restored", ["control", "us"])
def test_after_a_restore_the_mirror_and_the_known_users_are_equal(world: World, crowd: Crowd, restored: str) -> None:
    acme, globex = crowd.organization(slug="acme"), crowd.organization(slug="globex", region="de")
    leaver, stays, promoted = (crowd.user(name, f"{name}@example.com") for name in ("leaver", "stays", "promoted"))
    left = crowd.add(acme, leaver)
    crowd.add(acme, stays)
    crowd.add(globex, stays, at="de")
    crowd.add(acme, email="later@example.com")
    member = crowd.add(acme, promoted)
    world.drain()
    check_mirror(world.silos)
    backup = world.back_up(restored)

    crowd.remove(left)
    crowd.set_role(member, Role.MANAGER)
    crowd.suspend(stays)
    newcomer = crowd.user("newcomer", "later@example.com")
    crowd.add(acme, newcomer)
    world.drain()
    check_mirror(world.silos)

    world.restore(restored, backup)
    assert world.run_doctor(restored).left == {}

    check_mirror(world.silos)
    check_quiet(world.silos.control, world.silos.regions)
    assert world.findings() == []
    again = Crowd(world.silos)
    fresh = again.user("fresh")
    again.add(acme, fresh)
    world.drain()
    check_mirror(world.silos)
    assert [each.role for each in _where(again, fresh)] == ["member"]
    again.close()


def test_members_from_before_the_mirror_are_told_once(world: World, crowd: Crowd) -> None:
    acme = crowd.organization()
    for number in range(5):
        crowd.add(acme, crowd.user(f"user-{number}"))
    world.drain()
    execute(world.database("control"), "DELETE FROM organization_membership")
    execute(world.database("us"), "DELETE FROM known_user")
    execute(world.database("us"), "INSERT INTO member_retelling (after_id) VALUES (0)")
    execute(world.database("us"), "UPDATE organization_member SET version = version + 1")

    retelling = Retelling(world.database("us"), members_max=4)
    assert [retelling.run_once(), retelling.run_once(), retelling.run_once()] == [True, False, False]
    world.drain()

    check_mirror(world.silos)
    assert rows(world.database("us"), "SELECT * FROM member_retelling") == []


def _where(crowd: Crowd, user_id: int) -> list[UserOrganization]:
    with acting(Caller("tokens/1", frozenset({"silo:operate"})), method="/test"):
        return crowd.where(user_id)
