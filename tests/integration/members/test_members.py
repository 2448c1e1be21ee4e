"""Members of organizations through the public door."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from tests.integration.members.directory import ROLES, Directory
from tests.refusals import refused
from tests.region_client import new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

PEOPLE = ("owner", "manager", "admin", "member")
COUNT = "SELECT count(*) FROM organization_member"


def test_a_user_becomes_a_member_with_a_role_and_is_listed(directory: Directory) -> None:
    added = directory.add(7, "manager")
    assert added.name == f"organizations/100/members/{added.uid}"
    assert (added.user, added.email) == ("users/7", "")
    assert (added.role, added.state) == (ROLES["manager"], organization_pb.Member.STATE_ACTIVE)
    assert added.HasField("create_time")
    assert directory.get(added.name) == directory.get(added.name.replace("/100/", "/acme/")) == added
    assert directory.members() == ([added], "")


def test_an_address_is_invited_in_lower_case_and_nobody_acts_as_it(directory: Directory) -> None:
    invited = directory.add(email="New.One@Example.com")
    assert (invited.user, invited.email) == ("", "new.one@example.com")
    assert invited.state == organization_pb.Member.STATE_INVITED


def test_who_invited_is_kept(features: RegionFeatures, directory: Directory) -> None:
    directory.add(1, "owner")
    Directory(features.user(1)).add(2)
    assert features.value("SELECT inviter_id FROM organization_member WHERE user_id = 2") == 1


def test_a_user_or_address_that_is_there_is_refused_with_its_name(
    features: RegionFeatures, directory: Directory
) -> None:
    user, invited = directory.add(7), directory.add(email="a@example.com")
    features.rows("UPDATE organization_member SET user_email = 'Seven@example.com' WHERE user_id = 7")
    same: list[tuple[dict[str, Any], organization_pb.Member]] = [
        ({"user": 7}, user),
        ({"email": "A@EXAMPLE.com"}, invited),
        ({"email": "seven@example.com"}, user),
    ]
    for again, there in same:
        with refused() as found:
            directory.add(**again)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.ALREADY_EXISTS, "MEMBER_EXISTS")
        assert found[0].resource == ("siloway/Member", there.name)
    features.add_organization(200, "globex")
    assert directory.add(7, parent="globex").name.startswith("organizations/200/members/")


def test_the_same_user_added_at_once_is_one_member(features: RegionFeatures) -> None:
    count = 8
    barrier = threading.Barrier(count)

    def add(_index: int) -> str:
        mine = Directory(features.client_of("administrator"))
        barrier.wait(20)
        try:
            return mine.add(7).name
        except grpc.RpcError as error:
            return error.code().name

    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(add, range(count)))
    assert answers.count("ALREADY_EXISTS") == count - 1
    assert features.value(COUNT) == 1


@pytest.mark.parametrize(
    ("member", "field"),
    [
        ({"role": "member"}, "member.user"),
        ({"user": 7, "email": "a@b.c"}, "member.user"),
        ({"email": "no address"}, "member.email"),
        ({"email": "@"}, "member.email"),
        ({"user": 7, "role": ""}, "member.role"),
    ],
)
def test_a_member_needs_a_user_or_an_address_and_a_role(
    features: RegionFeatures, directory: Directory, member: dict[str, Any], field: str
) -> None:
    with refused() as found:
        directory.add(**member)
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert features.value(COUNT) == 0


def test_a_role_is_changed_and_a_mask_names_nothing_else(directory: Directory) -> None:
    member = directory.add(7)
    for role, mask in (("manager", ()), ("admin", ("role",)), ("member", ("*",))):
        assert directory.role(member.name, role, mask=mask).role == ROLES[role]
    with refused() as found:
        directory.role(member.name, "admin", mask=("role", "email"))
    assert (found[0].reason, found[0].fields) == ("INVALID_UPDATE_MASK", ["update_mask.paths[1]"])
    with refused() as found:
        directory.role(member.name, "")
    assert found[0].fields == ["member.role"]


def test_a_removed_member_leaves_its_teams(features: RegionFeatures, directory: Directory) -> None:
    member, team = directory.add(7), directory.team("Ops")
    assert directory.join("ops", member.name).member_count == 1
    assert directory.remove(member.name) == member.name
    assert directory.get_team("ops") == team
    assert features.value("SELECT count(*) FROM organization_member_team") == 0
    with refused() as found:
        directory.get(member.name)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")
    assert found[0].resource == ("siloway/Member", member.name)


def test_the_last_owner_is_neither_removed_nor_demoted(features: RegionFeatures, directory: Directory) -> None:
    owner = directory.add(1, "owner")
    directory.add(2, "manager")
    directory.add(email="coming@example.com", role="owner")
    features.add_organization(200, "globex")
    directory.add(3, "owner", parent="globex")
    last: tuple[Callable[[], object], ...] = (
        lambda: directory.remove(owner.name),
        lambda: directory.role(owner.name, "manager"),
    )
    for take_away in last:
        with refused() as found:
            take_away()
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_OWNER")
        assert found[0].resource == ("siloway/Member", owner.name)
    assert directory.role(owner.name, "owner") == owner
    second = directory.add(4, "owner")
    assert directory.role(owner.name, "member").role == ROLES["member"]
    with refused() as found:
        directory.remove(second.name)
    assert found[0].reason == "LAST_OWNER"


def test_an_owner_whose_user_is_not_active_does_not_stand_in(features: RegionFeatures, directory: Directory) -> None:
    owner, other = directory.add(1, "owner"), directory.add(2, "owner")
    features.rows("UPDATE organization_member SET user_is_active = false WHERE user_id = 2")
    with refused() as found:
        directory.remove(owner.name)
    assert found[0].reason == "LAST_OWNER"
    assert directory.remove(other.name) == other.name


def test_an_organization_that_waits_for_its_invited_owner_keeps_the_invitation(directory: Directory) -> None:
    first = directory.add(email="a@example.com", role="owner")
    with refused() as found:
        directory.remove(first.name)
    assert found[0].reason == "LAST_OWNER"
    directory.add(email="b@example.com", role="owner")
    assert directory.remove(first.name) == first.name


@pytest.mark.parametrize("take_away", ["remove", "demote"])
def test_concurrent_removal_of_all_owners_leaves_one(features: RegionFeatures, take_away: str) -> None:
    directory = Directory(features.client_of("administrator"))
    owners = [directory.add(user, "owner").name for user in range(1, 7)]
    barrier = threading.Barrier(len(owners))

    def take(name: str) -> str:
        mine = Directory(features.client_of("administrator"))
        barrier.wait(20)
        try:
            mine.remove(name) if take_away == "remove" else mine.role(name, "member")
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with ThreadPoolExecutor(len(owners)) as pool:
        answers = list(pool.map(take, owners))
    assert sorted(answers) == ["FAILED_PRECONDITION"] + ["OK"] * (len(owners) - 1)
    assert features.value(f"{COUNT} WHERE role = 'owner'") == 1


def test_a_repeat_gets_the_first_answer(features: RegionFeatures, directory: Directory) -> None:
    directory.add(1, "owner")
    ids = [new_id() for _ in range(3)]
    member = directory.add(7, rid=ids[0])
    changed = directory.role(member.name, "admin", rid=ids[1])
    assert directory.remove(member.name, rid=ids[2]) == member.name
    assert directory.add(7, parent="100", rid=ids[0]) == member
    assert directory.role(member.name, "admin", rid=ids[1]) == changed
    assert directory.remove(member.name.replace("/100/", "/acme/"), rid=ids[2]) == member.name
    assert features.value(COUNT) == 1
    with refused() as found:
        directory.add(8, rid=ids[0])
    assert found[0].reason == "REQUEST_ID_REUSED"


def test_a_member_of_another_organization_is_not_found(features: RegionFeatures, directory: Directory) -> None:
    features.add_organization(200, "globex")
    elsewhere = directory.add(7, parent="globex").uid
    calls: tuple[Callable[[str], object], ...] = (
        directory.get,
        directory.remove,
        lambda name: directory.role(name, "admin"),
    )
    for uid in (elsewhere, "12345"):
        name = f"organizations/100/members/{uid}"
        for call in calls:
            with refused() as found:
                call(name)
            assert (found[0].reason, found[0].resource) == ("MEMBER_NOT_FOUND", ("siloway/Member", name))


def test_pages_of_members_are_in_the_order_of_ids_and_of_one_team_when_asked(directory: Directory) -> None:
    members = [directory.add(user) for user in range(1, 6)]
    directory.team("Ops")
    for member in members[::2]:
        directory.join("ops", member.name)
    first, token = directory.members(page_size=3)
    rest, end = directory.members(page_size=3, page_token=token)
    assert (first + rest, end) == (members, "")
    assert directory.members(team="ops")[0] == members[::2]
    with refused() as found:
        directory.members(page_token=token, team="ops")
    assert found[0].reason == "INVALID_PAGE_TOKEN"
    with refused() as found:
        directory.members(team="nobody")
    assert found[0].reason == "TEAM_NOT_FOUND"


def test_changes_need_org_admin_and_reads_org_read(features: RegionFeatures, directory: Directory) -> None:
    member = directory.add(7)
    reader, writer = Directory(features.client_of("reader")), Directory(features.client_of("ci"))
    assert reader.get(member.name) == member
    assert reader.members()[0] == [member]
    calls: tuple[tuple[Directory, str, Callable[[Directory], object]], ...] = (
        (reader, "org:admin", lambda mine: mine.add(8)),
        (reader, "org:admin", lambda mine: mine.role(member.name, "admin")),
        (reader, "org:admin", lambda mine: mine.remove(member.name)),
        (writer, "org:read", lambda mine: mine.get(member.name)),
        (writer, "org:read", lambda mine: mine.members()),
    )
    for mine, scope, call in calls:
        with refused() as found:
            call(mine)
        assert (found[0].reason, found[0].metadata["scope"]) == ("SCOPE_MISSING", scope)


def test_an_organization_that_is_being_imported_or_of_others_is_refused(
    features: RegionFeatures, directory: Directory
) -> None:
    member = directory.add(7)
    features.add_organization(200, "globex")
    with refused() as found:
        Directory(features.client_of("bound administrator")).add(8, parent="globex")
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"
    features.rows("UPDATE organization SET state = 0 WHERE id = 100")
    for call in (
        lambda: directory.add(8),
        lambda: directory.role(member.name, "admin"),
        lambda: directory.remove(member.name),
    ):
        with refused() as found:
            call()
        assert found[0].reason == "ORGANIZATION_IMPORTING"
    assert directory.get(member.name) == member


def test_a_user_changes_members_as_owner_or_manager_and_owners_as_owner(
    features: RegionFeatures, directory: Directory
) -> None:
    people = {role: directory.add(number, role) for number, role in enumerate(PEOPLE, 1)}
    directory.add(5, "owner")
    as_user = {role: Directory(features.user(number)) for number, role in enumerate(PEOPLE, 1)}
    for role in ("admin", "member"):
        with refused() as found:
            as_user[role].add(10)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert found[0].metadata == {"role": "owner,manager"}
    for above in (
        lambda: as_user["manager"].add(10, "owner"),
        lambda: as_user["manager"].role(people["owner"].name, "member"),
        lambda: as_user["manager"].role(people["member"].name, "owner"),
        lambda: as_user["manager"].remove(people["owner"].name),
    ):
        with refused() as found:
            above()
        assert (found[0].reason, found[0].metadata) == ("PERMISSION_DENIED", {"role": "owner"})
    assert as_user["manager"].role(people["member"].name, "admin").role == ROLES["admin"]
    assert as_user["owner"].role(people["manager"].name, "owner").role == ROLES["owner"]
    assert as_user["manager"].remove(people["owner"].name) == people["owner"].name


def test_a_user_sees_only_the_organizations_that_it_is_a_member_of(
    features: RegionFeatures, directory: Directory
) -> None:
    features.add_organization(200, "globex")
    directory.add(7)
    user = features.user(7)
    listed = user.organization.ListOrganizations(organization_pb.ListOrganizationsRequest())
    assert [row.uid for row in listed.organizations] == ["100"]
    answers = []
    for key in ("globex", "nobody", "200", "201"):
        with refused() as found:
            user.organization.GetOrganization(organization_pb.GetOrganizationRequest(name=f"organizations/{key}"))
        assert found[0].resource == ("siloway/Organization", f"organizations/{key}")
        found[0].resource = None
        answers.append(found[0])
    assert answers.count(answers[0]) == len(answers)
    with refused() as found:
        Directory(user).add(8, parent="globex")
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"
    features.rows("UPDATE organization_member SET invite_status = 1 WHERE user_id = 7")
    listed = user.organization.ListOrganizations(organization_pb.ListOrganizationsRequest())
    assert not listed.organizations


def test_an_imported_role_that_is_unknown_here_is_shown_as_unspecified_and_can_be_changed(
    features: RegionFeatures, directory: Directory
) -> None:
    member = directory.add(7)
    features.rows("UPDATE organization_member SET role = 'billing'")
    assert directory.get(member.name).role == organization_pb.Member.ROLE_UNSPECIFIED
    assert directory.role(member.name, "admin").role == ROLES["admin"]
