"""Teams, who is in them and which projects they work on, through the public door."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from shared.slugs import PROJECT_RESERVED
from tests.integration.members.directory import Directory
from tests.refusals import refused
from tests.region_client import new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration


def test_a_team_is_made_with_a_snowflake_and_a_slug_of_its_name(directory: Directory) -> None:
    made = directory.team("Night Shift")
    assert (made.slug, made.display_name, made.member_count, list(made.projects)) == (
        "night-shift",
        "Night Shift",
        0,
        [],
    )
    assert made.name == f"organizations/100/teams/{made.uid}"
    assert len(made.uid) == 16
    assert directory.get_team("night-shift") == directory.get_team(made.uid, "100") == made


@pytest.mark.parametrize("name", ["2024", "Settings", "日本"])
def test_a_made_slug_is_no_id_and_no_reserved_word(directory: Directory, name: str) -> None:
    slug = directory.team(name).slug
    assert not slug.isdigit()
    assert slug not in PROJECT_RESERVED


def test_equal_names_at_once_get_slugs_of_their_own(features: RegionFeatures) -> None:
    count = 8
    barrier = threading.Barrier(count)

    def make(_index: int) -> str:
        mine = Directory(features.client_of("administrator"))
        barrier.wait(20)
        return mine.team("Ops").slug

    with ThreadPoolExecutor(count) as pool:
        slugs = list(pool.map(make, range(count)))
    assert len(set(slugs)) == count
    assert "ops" in slugs


def test_a_given_slug_that_is_taken_is_refused(features: RegionFeatures, directory: Directory) -> None:
    directory.team("Ops", "ops")
    with refused() as found:
        directory.team("Other", "ops")
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.ALREADY_EXISTS, "TEAM_EXISTS")
    assert found[0].resource == ("siloway/Team", "organizations/100/teams/ops")
    features.add_organization(200, "globex")
    assert directory.team("Other", "ops", parent="globex").slug == "ops"


@pytest.mark.parametrize("slug", ["settings", "123", "Upper", "a b", "x" * 51])
def test_a_slug_that_is_reserved_numeric_or_malformed_is_refused(directory: Directory, slug: str) -> None:
    with refused() as found:
        directory.team("Ops", slug)
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["team.slug"])


@pytest.mark.parametrize("name", ["", " ", "a\0b", "x" * 65])
def test_a_name_that_is_blank_too_long_or_cannot_be_stored_is_refused(directory: Directory, name: str) -> None:
    with refused() as found:
        directory.team(name)
    assert found[0].fields == ["team.display_name"]


def test_members_join_and_leave_and_doing_it_twice_changes_nothing(directory: Directory) -> None:
    directory.team("Ops")
    first, second = directory.add(1), directory.add(email="b@example.com")
    counts = [
        directory.join("ops", member).member_count
        for member in (first.name, first.name.replace("/100/", "/acme/"), second.name)
    ]
    assert counts == [1, 1, 2]
    assert [directory.leave("ops", first.name).member_count for _ in range(2)] == [1, 1]


def test_projects_are_granted_and_revoked_and_doing_it_twice_changes_nothing(
    features: RegionFeatures, directory: Directory
) -> None:
    directory.team("Ops")
    ids = sorted([features.add_project("api"), features.value("SELECT id FROM project WHERE slug = 'web'")])
    directory.grant("ops", "web")
    for project in ("api", str(ids[0])):
        team = directory.grant("ops", project)
    assert list(team.projects) == [f"organizations/100/projects/{project_id}" for project_id in ids]
    assert directory.get_team("ops") == team
    assert not directory.teams()[0][0].projects
    for _ in range(2):
        assert len(directory.revoke("ops", "api").projects) == 1


def test_what_is_not_there_is_named(features: RegionFeatures, directory: Directory) -> None:
    member, team = directory.add(7).name, directory.team("Ops").uid
    unknown: list[tuple[Callable[[], object], str, str]] = [
        (lambda: directory.get_team("nothing"), "TEAM_NOT_FOUND", "organizations/100/teams/nothing"),
        (lambda: directory.get_team("12345"), "TEAM_NOT_FOUND", "organizations/100/teams/12345"),
        (lambda: directory.join("12345", member), "TEAM_NOT_FOUND", "organizations/100/teams/12345"),
        (lambda: directory.delete_team("12345"), "TEAM_NOT_FOUND", "organizations/100/teams/12345"),
        (
            lambda: directory.join(team, "organizations/100/members/9999"),
            "MEMBER_NOT_FOUND",
            "organizations/100/members/9999",
        ),
        (lambda: directory.grant(team, "nothing"), "PROJECT_NOT_FOUND", "organizations/100/projects/nothing"),
        (lambda: directory.revoke(team, "12345"), "PROJECT_NOT_FOUND", "organizations/100/projects/12345"),
    ]
    for call, reason, name in unknown:
        with refused() as found:
            call()
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, reason)
        assert found[0].resource is not None
        assert found[0].resource[1] == name


def test_team_member_and_project_are_of_one_organization(features: RegionFeatures, directory: Directory) -> None:
    features.add_organization(200, "globex")
    features.add_project("shop", "organizations/200")
    directory.team("Ops")
    elsewhere = directory.add(7, parent="globex").name
    mixed: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: directory.join("ops", elsewhere), "member"),
        (lambda: directory.grant("ops", "shop", organization="globex"), "project"),
    )
    for call, field in mixed:
        with refused() as found:
            call()
        assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert features.value("SELECT count(*) FROM organization_member_team") == 0


def test_a_deleted_team_takes_its_links_along_and_nothing_else(features: RegionFeatures, directory: Directory) -> None:
    team, member = directory.team("Ops"), directory.add(7)
    directory.join("ops", member.name)
    directory.grant("ops", "web")
    with refused() as found:
        directory.delete_team("ops")
    assert found[0].fields == ["name"]
    assert directory.delete_team(team.uid) == team.name
    assert features.rows("SELECT team_id FROM organization_member_team UNION SELECT team_id FROM project_team") == []
    assert directory.get(member.name) == member
    assert directory.teams() == ([], "")


def test_joining_a_team_while_it_is_deleted_ends_one_way_or_the_other(features: RegionFeatures) -> None:
    directory = Directory(features.client_of("administrator"))
    members = [directory.add(user).name for user in range(1, 5)]
    team = directory.team("Ops").uid
    barrier = threading.Barrier(len(members) + 1)

    def act(member: str | None) -> str:
        mine = Directory(features.client_of("administrator"))
        barrier.wait(20)
        try:
            mine.delete_team(team) if member is None else mine.join(team, member)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with ThreadPoolExecutor(len(members) + 1) as pool:
        answers = list(pool.map(act, [None, *members]))
    assert answers[0] == "OK"
    assert set(answers[1:]) <= {"OK", "NOT_FOUND"}
    assert features.value("SELECT count(*) FROM organization_member_team") == 0


def test_removing_members_while_their_teams_are_deleted_leaves_no_link(features: RegionFeatures) -> None:
    directory = Directory(features.client_of("administrator"))
    members = [directory.add(user).name for user in range(1, 5)]
    teams = [directory.team(f"Team {number}").uid for number in range(4)]
    for team in teams:
        for member in members:
            directory.join(team, member)
    barrier = threading.Barrier(8)

    def act(name: str) -> None:
        mine = Directory(features.client_of("administrator"))
        barrier.wait(20)
        if "/members/" in name:
            mine.remove(name)
        else:
            mine.delete_team(name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, [*members, *teams]))
    assert features.value("SELECT count(*) FROM organization_member_team") == 0
    assert directory.teams() == ([], "")
    assert directory.members() == ([], "")


def test_a_repeat_gets_the_first_answer(features: RegionFeatures, directory: Directory) -> None:
    ids = [new_id() for _ in range(4)]
    member = directory.add(7).name
    made = directory.team("Ops", rid=ids[0])
    joined = directory.join("ops", member, rid=ids[1])
    granted = directory.grant("ops", "web", rid=ids[2])
    directory.leave("ops", member)
    assert directory.team("Ops", parent="100", rid=ids[0]) == made
    assert directory.join(made.uid, member, rid=ids[1]) == joined
    assert directory.grant(made.uid, "web", rid=ids[2]) == granted
    assert directory.get_team("ops").member_count == 0
    assert directory.delete_team(made.uid, rid=ids[3]) == directory.delete_team(made.uid, rid=ids[3]) == made.name
    with refused() as found:
        directory.team("Other", rid=ids[0])
    assert found[0].reason == "REQUEST_ID_REUSED"


def test_pages_of_teams_are_in_the_order_of_ids(features: RegionFeatures, directory: Directory) -> None:
    made = sorted((directory.team(f"Team {number}") for number in range(5)), key=lambda team: int(team.uid))
    first, token = directory.teams(page_size=4)
    rest, end = directory.teams(page_size=4, page_token=token)
    assert (first + rest, end) == (made, "")


def test_changes_need_org_admin_and_of_a_user_the_right_role(features: RegionFeatures, directory: Directory) -> None:
    team, owner, member = directory.team("Ops").uid, directory.add(1, "owner"), directory.add(2, "admin")

    def calls(mine: Directory) -> list[Callable[[], object]]:
        return [
            lambda: mine.team("Other"),
            lambda: mine.join(team, member.name),
            lambda: mine.leave(team, member.name),
            lambda: mine.grant(team, "web"),
            lambda: mine.revoke(team, "web"),
            lambda: mine.delete_team(team),
        ]

    features.rows("UPDATE organization SET flags = 1 WHERE id = 100")
    for token, reason in (("reader", "SCOPE_MISSING"), ("user 2", "PERMISSION_DENIED")):
        for call in calls(Directory(features.client_of(token))):
            with refused() as found:
                call()
            assert (found[0].code, found[0].reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)
    assert Directory(features.user(2)).get_team("ops").uid == team
    features.rows("UPDATE organization SET state = 0 WHERE id = 100")
    for call in calls(directory):
        with refused() as found:
            call()
        assert found[0].reason == "ORGANIZATION_IMPORTING"
    features.rows("UPDATE organization SET state = 1 WHERE id = 100")
    for call in calls(Directory(features.user(int(owner.user.removeprefix("users/"))))):
        call()
