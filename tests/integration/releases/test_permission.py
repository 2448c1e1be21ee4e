"""Who may read and change a release: the rules of has_release_permission, through the public door.

Numbers: the error table's rows and the acceptance cases. Refusals are compared byte for byte, as they come by wire.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from sqlalchemy import text

from shared.database import Transaction
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.region_features import Client, RegionFeatures, new_id, opened, refused
from tests.statements import counted

pytestmark = pytest.mark.integration

MEMBER, OWNER, MANAGER, ADMIN, STRANGER = 1, 2, 3, 4, 5
ROLES = {MEMBER: "member", OWNER: "owner", MANAGER: "manager", ADMIN: "admin"}


class Acme:
    """Organization 100: the projects `web`, `api` and `cli`; the member and the admin are in the team of `web`."""

    def __init__(self, features: RegionFeatures) -> None:
        self.features = features
        self.projects = {"web": features.value("SELECT id FROM project WHERE slug = 'web'")}
        self.projects |= {slug: features.add_project(slug) for slug in ("api", "cli")}
        for user, role in ROLES.items():
            self.add_member(user, role)
        self.add_team(10, "web")
        self.join(10, MEMBER)
        self.join(10, ADMIN)

    def add_member(self, user: int, role: str, organization: int = 100) -> None:
        self.features.rows(
            """
            INSERT INTO organization_member (organization_id, user_id, role, flags, has_global_access, invite_status,
                type, user_is_active, date_added)
            VALUES (:organization, :user, :role, 0, true, 0, 50, true, :now)
            """,
            organization=organization,
            user=user,
            role=role,
            now=self.features.clock.now(),
        )

    def add_team(self, team: int, *projects: str) -> None:
        self.features.rows(
            """
            INSERT INTO team (id, organization_id, slug, name, status, idp_provisioned, date_added)
            VALUES (:team, 100, :slug, 'a team', 0, false, :now)
            """,
            team=team,
            slug=f"team-{team}",
            now=self.features.clock.now(),
        )
        for project in projects:
            self.features.rows(
                "INSERT INTO project_team (organization_id, project_id, team_id) VALUES (100, :project, :team)",
                project=self.projects[project],
                team=team,
            )

    def join(self, team: int, user: int) -> None:
        self.features.rows(
            """
            INSERT INTO organization_member_team (organization_id, organization_member_id, team_id, is_active)
            SELECT 100, id, :team, true FROM organization_member WHERE organization_id = 100 AND user_id = :user
            """,
            team=team,
            user=user,
        )

    def user(self, user: int) -> Client:
        return self.features.user(user)


@pytest.fixture
def features(region_database_url: str, redis_url: str) -> Iterator[RegionFeatures]:
    with opened(region_database_url, redis_url) as features:
        yield features


@pytest.fixture
def acme(features: RegionFeatures) -> Acme:
    return Acme(features)


def wire(call: Callable[[], object]) -> tuple[grpc.StatusCode, str | None, tuple[tuple[str, Any], ...]]:
    """A refusal as it came: code, text, and the trailer without the one value that names the call itself."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    trailer = tuple(sorted((key, value) for key, value in error.trailing_metadata() if key != "x-request-id"))
    assert any(key == "grpc-status-details-bin" for key, _ in trailer)
    return error.code(), error.details(), trailer


def reads_and_changes(client: Client, version: str) -> list[Callable[[], object]]:
    return [
        lambda: client.get(version),
        lambda: client.commits(version),
        lambda: client.update(version, ref="x"),
        lambda: client.update(version, state=release_pb.Release.STATE_ARCHIVED, organization="100"),
        lambda: client.update(version, commits=[release_pb.CommitSpec(id="a")]),
    ]


def changed(features: RegionFeatures) -> Any:
    return features.rows("SELECT version, ref, status, row_version FROM release ORDER BY version")


def test_row_02_case_24_without_permission_a_release_looks_like_an_unknown_one_byte_for_byte(acme: Acme) -> None:
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


def test_row_02_an_etag_is_not_told_to_who_may_not_read(acme: Acme) -> None:
    member = acme.user(MEMBER)

    def update() -> object:
        release = release_pb.Release(name="organizations/acme/releases/1.0", ref="x", etag="1-1")
        return member.release.UpdateRelease(release_pb.UpdateReleaseRequest(release=release, request_id=new_id()))

    unknown = wire(update)
    acme.features.client.create("1.0", ("api",))
    assert wire(update) == unknown


def test_one_accessible_project_is_enough_to_read_and_all_are_needed_to_change(acme: Acme) -> None:
    member = acme.user(MEMBER)
    unknown = [wire(call) for call in reads_and_changes(member, "1.0")[2:]]
    acme.features.client.create("1.0", ("web", "api"))
    # What is read does not name the project that the member may not see.
    assert list(member.get("1.0").projects) == [f"organizations/100/projects/{acme.projects['web']}"]
    assert not member.commits("1.0").commits
    before = changed(acme.features)
    assert [wire(call) for call in reads_and_changes(member, "1.0")[2:]] == unknown
    assert changed(acme.features) == before
    acme.add_team(11, "api")
    acme.join(11, MEMBER)
    assert member.update("1.0", ref="x").ref == "x"
    assert len(member.get("1.0").projects) == 2


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


def test_row_04_a_stranger_hears_of_no_organization_byte_for_byte(acme: Acme) -> None:
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


def test_row_20_a_project_that_is_not_accessible_looks_like_an_unknown_one_in_create(acme: Acme) -> None:
    member = acme.user(MEMBER)
    hidden = wire(lambda: member.create("1.0", ("web", "api")))
    assert wire(lambda: member.create("1.0", ("web", "nothing"))) == hidden
    assert wire(lambda: member.create("1.0", ("web", str(acme.projects["api"])))) == hidden
    with refused() as found:
        member.create("1.0", ("api", "web", "cli"))
    assert (found[0].code, found[0].fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["projects[0]", "projects[2]"],
    )
    assert changed(acme.features) == []
    assert member.create("1.0", ("web",)).release.version == "1.0"


def test_row_21_a_release_with_a_project_that_the_caller_lacks_is_refused_without_naming_it(acme: Acme) -> None:
    acme.features.client.create("1.0", ("api", "cli"))
    before = changed(acme.features)
    with refused() as found:
        acme.user(MEMBER).create("1.0", ("web",))
    refusal = found[0]
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_ACCESSIBLE")
    told = f"{refusal.message} {refusal.metadata} {refusal.violations} {refusal.resource}"
    assert not any(str(acme.projects[slug]) in told or slug in told for slug in ("api", "cli"))
    assert changed(acme.features) == before
    assert acme.features.value("SELECT flags FROM project WHERE slug = 'web'") == 0
    assert acme.user(OWNER).create("1.0", ("web",)).release.projects


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


def test_row_03_asking_for_a_project_that_is_not_accessible_is_as_for_an_unknown_one(acme: Acme) -> None:
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


def test_a_user_may_do_what_its_memberships_allow_in_each_organization(acme: Acme) -> None:
    features = acme.features
    features.add_organization(200, "globex")
    features.add_project("shop", "organizations/200")
    features.client.create("2.0", ("shop",), parent="organizations/globex")
    features.client.create("1.0", ("api",))
    acme.add_member(MEMBER, "owner", 200)
    member = acme.user(MEMBER)
    assert member.update("2.0", ref="x", organization="globex").ref == "x"
    assert member.list() == []


def test_a_project_that_comes_while_the_caller_waits_for_the_release_counts(acme: Acme) -> None:
    """The permission is looked at again under the release's lock: a wait must not end with an old answer."""
    features, member = acme.features, acme.user(MEMBER)
    features.client.create("1.0", ("web",))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(wire(lambda: member.update("1.0", ref="x"))))

    def attach_meanwhile(transaction: Transaction) -> None:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        thread.start()
        wait_for_a_blocked_session(features.database)
        transaction.execute(
            text(
                "INSERT INTO release_project (organization_id, project_id, release_id, new_groups)"
                " SELECT 100, :project, id, 0 FROM release"
            ),
            {"project": acme.projects["api"]},
        )

    features.database.transact(attach_meanwhile)
    thread.join(20)
    assert [answer[0] for answer in answers] == [grpc.StatusCode.NOT_FOUND]
    assert features.value("SELECT ref FROM release") is None


def test_a_change_without_permission_waits_for_nobody(acme: Acme) -> None:
    features = acme.features
    features.client.create("1.0", ("api",))

    def update_meanwhile(transaction: Transaction) -> str:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        with refused() as found:
            acme.user(MEMBER).update("1.0", ref="x", timeout=10)
        return found[0].reason

    assert features.database.transact(update_meanwhile) == "RELEASE_NOT_FOUND"


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


def test_a_repeat_of_a_change_gets_the_first_answer_after_access_has_gone(acme: Acme) -> None:
    acme.features.client.create("1.0")
    member, request_id = acme.user(MEMBER), new_id()
    first = member.update("1.0", ref="x", request_id=request_id)
    acme.features.rows("DELETE FROM organization_member_team")
    assert member.update("1.0", ref="x", request_id=request_id) == first
    with refused() as found:
        member.update("1.0", ref="y")
    assert found[0].reason == "RELEASE_NOT_FOUND"
