"""Who sees a release, and to whom it looks like an unknown one: has_release_permission, through the public door.

Numbers: the error table's rows and the acceptance cases.
"""

from collections.abc import Callable

import grpc
import pytest
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.integration.releases.acme import (
    ADMIN,
    MANAGER,
    MEMBER,
    OWNER,
    STRANGER,
    Acme,
    changed,
    reads_and_changes,
    wire,
)
from tests.refusals import refused
from tests.statements import counted

pytestmark = pytest.mark.integration


def test_release_row_02_case_24_without_permission_a_release_looks_like_an_unknown_one_byte_for_byte(
    acme: Acme,
) -> None:
    member = acme.user(MEMBER)
    unknown = [wire(call) for call in reads_and_changes(member, "1.0")]
    acme.features.client.create("1.0", ("api",))
    before = changed(acme.features)
    assert [wire(call) for call in reads_and_changes(member, "1.0")] == unknown
    assert {refusal[0] for refusal in unknown} == {grpc.StatusCode.NOT_FOUND}
    with refused() as found:
        member.get("1.0")
    assert (found[0].reason, found[0].resource) == (
        "RELEASE_NOT_FOUND",
        ("siloway/Release", "organizations/100/releases/1.0"),
    )
    assert changed(acme.features) == before


@pytest.mark.parametrize("user", [OWNER, MANAGER])
def test_owners_and_managers_see_all_projects(acme: Acme, user: int) -> None:
    acme.features.client.create("1.0", ("api", "cli"))
    client = acme.user(user)
    assert len(client.get("1.0").projects) == 2
    assert client.update("1.0", ref="x").ref == "x"
    assert client.list() == client.list(project="cli") == ["1.0"]


@pytest.mark.parametrize("user", [MEMBER, ADMIN])
def test_with_open_membership_every_member_sees_all_projects(acme: Acme, user: int) -> None:
    acme.features.client.create("1.0", ("api",))
    client = acme.user(user)
    assert client.list() == []
    acme.features.rows("UPDATE organization SET flags = 1 | 8 WHERE id = 100")
    assert client.list() == ["1.0"]
    assert client.update("1.0", ref="x").ref == "x"
    acme.features.rows("UPDATE organization SET flags = 8 WHERE id = 100")
    with refused() as found:
        client.get("1.0")
    assert found[0].reason == "RELEASE_NOT_FOUND"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE organization_member SET user_is_active = false WHERE user_id = 1",
        "UPDATE organization_member SET invite_status = 1 WHERE user_id = 1",
    ],
)
def test_a_member_that_is_not_approved_or_not_active_is_a_stranger(acme: Acme, statement: str) -> None:
    acme.features.client.create("1.0")
    member = acme.user(MEMBER)
    assert member.get("1.0").version == "1.0"
    acme.features.rows(statement)
    with refused() as found:
        member.get("1.0")
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE organization_member_team SET is_active = false",
        "UPDATE team SET status = 1",
        "DELETE FROM project_team",
        "DELETE FROM organization_member_team",
    ],
)
def test_access_that_is_taken_is_gone_with_the_next_call(acme: Acme, statement: str) -> None:
    acme.features.client.create("1.0")
    member = acme.user(MEMBER)
    for _ in range(2):
        assert member.get("1.0").version == "1.0"
    assert member.update("1.0", ref="x").ref == "x"
    acme.features.rows(statement)
    for call in reads_and_changes(member, "1.0"):
        with refused() as found:
            call()
        assert found[0].reason == "RELEASE_NOT_FOUND"


def test_release_row_04_a_stranger_hears_of_no_organization_byte_for_byte(acme: Acme) -> None:
    acme.features.client.create("1.0", ("api",))
    acme.features.add_organization(200, "globex")
    stranger = acme.user(STRANGER)

    def calls(organization: str) -> list[Callable[[], object]]:
        return [
            lambda: stranger.get("1.0", organization),
            lambda: stranger.update("1.0", ref="x", organization=organization),
            lambda: stranger.create("1.0", parent=f"organizations/{organization}"),
            lambda: stranger.release.ListReleases(
                release_pb.ListReleasesRequest(parent=f"organizations/{organization}")
            ),
            lambda: stranger.project.ListProjects(
                project_pb.ListProjectsRequest(parent=f"organizations/{organization}")
            ),
        ]

    hidden = [wire(call) for call in (*calls("acme"), *calls("100"))]
    acme.features.rows("ALTER TABLE organization DISABLE TRIGGER ALL")
    acme.features.rows("UPDATE organization SET slug = NULL WHERE id = 100")
    acme.features.rows("UPDATE organization SET id = 300 WHERE id = 100")
    acme.features.rows("ALTER TABLE organization ENABLE TRIGGER ALL")
    acme.features.organization_cache.invalidate(100)
    assert acme.features.link is not None
    assert [wire(call) for call in (*calls("acme"), *calls("100"))] == hidden


def test_a_release_without_projects_is_nobodys(acme: Acme) -> None:
    client = acme.features.client
    client.create("1.0")
    acme.features.rows("DELETE FROM release_project")
    for caller in (client, acme.user(OWNER)):
        for call in reads_and_changes(caller, "1.0"):
            with refused() as found:
                call()
            assert found[0].reason == "RELEASE_NOT_FOUND"
        assert caller.list() == []
    assert client.create("1.0").release.version == client.get("1.0").version


def test_a_list_shows_releases_with_an_accessible_project_only_in_pages_without_gap(acme: Acme) -> None:
    for number in range(9):
        acme.features.client.create(f"1.{number}", (("web",), ("api",), ("web", "cli"))[number % 3])
    member = acme.user(MEMBER)
    expected = ["1.8", "1.6", "1.5", "1.3", "1.2", "1.0"]
    assert member.list() == expected
    found, token = [], ""
    while True:
        page = member.release.ListReleases(
            release_pb.ListReleasesRequest(parent="organizations/acme", page_size=2, page_token=token)
        )
        found += [release.version for release in page.releases]
        named = {name for release in page.releases for name in release.projects}
        assert named == {f"organizations/100/projects/{acme.projects['web']}"}
        token = page.next_page_token
        if not token:
            break
    assert found == expected
    assert acme.user(ADMIN).list(project="web") == expected


def test_release_row_03_asking_for_a_project_that_is_not_accessible_is_as_for_an_unknown_one(acme: Acme) -> None:
    acme.features.client.create("1.0", ("api",))
    member = acme.user(MEMBER)
    for call in (
        lambda key: member.list(project=key),
        lambda key: member.project.GetProject(project_pb.GetProjectRequest(name=f"organizations/acme/projects/{key}")),
    ):
        for key in ("api", str(acme.projects["api"]), "nothing"):
            with refused() as found:
                call(key)
            assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")
            assert found[0].resource == ("siloway/Project", f"organizations/100/projects/{key}")
    acme.features.project_cache.invalidate(acme.projects["api"])
    hidden = wire(lambda: member.list(project="api"))
    acme.features.rows("DELETE FROM release_project")
    acme.features.rows("DELETE FROM project_key WHERE project_id = :id", id=acme.projects["api"])
    with acme.features.project_cache.changing(acme.projects["api"]):
        acme.features.rows("DELETE FROM project WHERE slug = 'api'")
    assert wire(lambda: member.list(project="api")) == hidden
    listed = member.project.ListProjects(project_pb.ListProjectsRequest(parent="organizations/acme"))
    assert [project.slug for project in listed.projects] == ["web"]


def test_a_token_without_a_user_sees_all_projects_of_its_organizations(acme: Acme) -> None:
    acme.features.client.create("1.0", ("api", "cli"))
    for token in ("all", "ci", "reader", "bound"):
        client = acme.features.client_of(token)
        assert len(client.get("1.0").projects) == 2
        assert client.list() == ["1.0"]
    for token in ("all", "ci", "bound"):
        assert acme.features.client_of(token).update("1.0", ref=token).ref == token


def test_a_user_reads_a_release_in_three_statements(acme: Acme) -> None:
    features = acme.features
    features.client.create("1.0")
    for user in (MEMBER, OWNER):
        client = acme.user(user)
        features.organization_cache.invalidate(100)
        with counted(features.database.engine) as statements:
            cold = client.get("1.0")
        assert len(statements) <= 3
        client.get("1.0", "100")
        with counted(features.database.engine) as statements:
            assert client.get("1.0", "100") == cold
        assert len(statements) <= 2
