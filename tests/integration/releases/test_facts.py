"""A release's page through the public door. Numbers: the acceptance cases and the error table's rows."""

from typing import Any

import grpc
import pytest
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.integration.releases.acme import MEMBER, Acme, wire
from tests.refusals import refused
from tests.region_client import Client
from tests.region_features import RegionFeatures
from tests.statements import counted

pytestmark = pytest.mark.integration

Stage = release_pb.AdoptionStage


def page(client: Client, version: str, **query: Any) -> release_pb.Release:
    answer: release_pb.Release = client.release.GetRelease(
        release_pb.GetReleaseRequest(
            name=f"organizations/acme/releases/{version}", view=release_pb.RELEASE_VIEW_FULL, **query
        )
    )
    return answer


def around(client: Client, version: str, **query: Any) -> tuple[str, str, str, str]:
    meta = page(client, version, project="web", **query).current_project_meta
    return (
        meta.previous_release_version,
        meta.next_release_version,
        meta.first_release_version,
        meta.last_release_version,
    )


def see(features: RegionFeatures, environment: str, *versions: str) -> None:
    """Make the releases known in an environment."""
    features.rows(
        """
        INSERT INTO environment (organization_id, name, date_added) VALUES (100, :name, now()) ON CONFLICT DO NOTHING
        """,
        name=environment,
    )
    features.rows(
        """
        INSERT INTO release_environment (organization_id, release_id, environment_id, first_seen, last_seen)
        SELECT 100, release.id, environment.id, now(), now() FROM release, environment
        WHERE environment.name = :name AND release.version = ANY(CAST(:versions AS text[]))
        """,
        name=environment,
        versions=list(versions),
    )


def adopt(features: RegionFeatures, version: str, adopted: str | None, unadopted: str | None = None) -> None:
    """Tell the adoption of a release in `production`, in all its projects."""
    see(features, "production", version)
    features.rows(
        """
        INSERT INTO release_project_environment (organization_id, release_id, project_id, environment_id, first_seen,
            last_seen, adopted, unadopted)
        SELECT 100, release.id, link.project_id, environment.id, now(), now(), CAST(:adopted AS timestamptz),
            CAST(:unadopted AS timestamptz)
        FROM release JOIN release_project AS link ON link.release_id = release.id, environment
        WHERE environment.name = 'production' AND release.version = :version
        """,
        version=version,
        adopted=adopted,
        unadopted=unadopted,
    )


def test_release_case_11_18_without_a_project_there_are_no_neighbours(client: Client) -> None:
    client.create("1.0")
    for query in ({}, {"project": "-1"}, {"project": ""}):
        assert not page(client, "1.0", **query).HasField("current_project_meta")
    assert page(client, "1.0", project="-1") == page(client, "1.0")


def test_release_case_12_previous_is_older_and_next_is_newer(features: RegionFeatures, client: Client) -> None:
    features.add_project("api")
    for version in ("1.0", "1.1", "1.2"):
        client.create(version)
    client.create("1.3", ("api",))
    assert around(client, "1.1") == ("1.0", "1.2", "1.0", "1.2")
    assert around(client, "1.0") == ("", "1.1", "1.0", "1.2")
    assert around(client, "1.2") == ("1.1", "", "1.0", "1.2")


def test_release_case_13_of_equal_times_the_id_decides(features: RegionFeatures, client: Client) -> None:
    for version in ("1.0", "1.1", "1.2"):
        client.create(version)
    features.rows("UPDATE release SET date_added = '2026-01-01T00:00:00Z'")
    ordered = [version for (version,) in features.rows("SELECT version FROM release ORDER BY id")]
    assert around(client, ordered[1]) == (ordered[0], ordered[2], ordered[0], ordered[2])


def test_release_case_14_neighbours_pass_the_filters_and_case_15_first_and_last_that_of_environments_only(
    features: RegionFeatures, client: Client
) -> None:
    for version in ("a-1", "b-1", "a-2", "b-2+7", "a-3"):
        client.create(version)
    client.update("a-1", state=release_pb.Release.STATE_ARCHIVED)
    see(features, "production", "b-1", "a-2", "a-3")
    see(features, "staging", "a-1")
    assert around(client, "b-1") == ("", "a-2", "a-1", "a-3")
    assert around(client, "b-1", state=release_pb.Release.STATE_ARCHIVED) == ("a-1", "", "a-1", "a-3")
    assert around(client, "a-2", query="A-") == ("", "a-3", "a-1", "a-3")
    assert around(client, "a-2", query="b-2 (7)") == ("", "b-2+7", "a-1", "a-3")
    assert around(client, "a-2", environments=["production"]) == ("b-1", "a-3", "b-1", "a-3")
    assert around(client, "a-2", environments=["production", "staging"]) == ("b-1", "a-3", "a-1", "a-3")
    assert around(client, "a-2", environments=["nowhere"]) == ("", "", "", "")


def test_release_case_16_row_25_neighbours_have_one_order(client: Client) -> None:
    client.create("1.0")
    assert page(client, "1.0", sort="date").version == "1.0"
    for view in (release_pb.RELEASE_VIEW_FULL, release_pb.RELEASE_VIEW_BASIC):
        with refused() as found:
            client.release.GetRelease(
                release_pb.GetReleaseRequest(name="organizations/acme/releases/1.0", view=view, sort="semver")
            )
        assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["sort"])


@pytest.mark.parametrize("field", ["summary_stats_period", "health_stats_period"])
def test_release_case_17_row_25_a_period_is_one_of_a_few(client: Client, field: str) -> None:
    client.create("1.0")
    for period in ("1h", "24h", "1d", "48h", "2d", "7d", "14d", "30d", "90d"):
        assert page(client, "1.0", **{field: period}).version == "1.0"
    with refused() as found:
        page(client, "1.0", **{field: "3d"})
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert "14d" in found[0].violations[0][1]


def test_release_case_19_adoption_is_told_when_asked_for(features: RegionFeatures, client: Client) -> None:
    features.add_project("api")
    client.create("1.0")
    client.create("1.1")
    client.create("1.2", ("api", "web"))
    adopt(features, "1.0", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    adopt(features, "1.1", "2026-02-01T00:00:00Z")
    assert not page(client, "1.0").adoption_stages
    replaced = page(client, "1.0", adoption_stages=True).adoption_stages
    assert {slug: stage.stage for slug, stage in replaced.items()} == {"web": Stage.STAGE_REPLACED}
    assert replaced["web"].unadopt_time.ToJsonString() == "2026-02-01T00:00:00Z"
    adopted = page(client, "1.1", adoption_stages=True).adoption_stages["web"]
    assert (adopted.stage, adopted.adopt_time.ToJsonString()) == (Stage.STAGE_ADOPTED, "2026-02-01T00:00:00Z")
    low = page(client, "1.2", adoption_stages=True).adoption_stages
    assert {slug: stage.stage for slug, stage in low.items()} == dict.fromkeys(("api", "web"), Stage.STAGE_LOW_ADOPTION)
    other = page(client, "1.1", adoption_stages=True, environments=["staging"]).adoption_stages["web"]
    assert other.stage == Stage.STAGE_LOW_ADOPTION


def test_the_page_has_facts_of_projects_authors_and_files(features: RegionFeatures, client: Client) -> None:
    api = features.add_project("api")
    client.create("1.0", ("web", "api"))
    changes = [release_pb.FileChange(path=path, type=release_pb.FileChange.TYPE_ADDED) for path in ("x", "y")]
    commits = [
        release_pb.CommitSpec(id="a", author_email="Ada@x.org", author_name="Ada", patch_set=changes),
        release_pb.CommitSpec(id="b", author_email="bob@x.org", patch_set=changes[:1]),
    ]
    client.update("1.0", commits=commits)
    features.rows(
        """
        INSERT INTO organization_member (organization_id, user_id, user_email, role, flags, has_global_access,
            invite_status, type, user_is_active, date_added)
        VALUES (100, 7, 'ADA@x.org', 'member', 0, true, 0, 50, true, now()),
            (100, 8, 'bob@x.org', 'member', 0, true, 0, 50, false, now())
        """
    )
    features.rows("UPDATE release_project SET new_groups = CASE WHEN project_id = :api THEN 2 ELSE 3 END", api=api)
    adopt(features, "1.0", features.clock.now().isoformat())
    with counted(features.database.engine) as statements:
        found = page(client, "1.0")
    assert len(statements) <= 5
    assert [(fact.slug, fact.new_issue_count, fact.has_health_data) for fact in found.project_facts] == [
        ("api", 2, True),
        ("web", 3, True),
    ]
    assert found.project_facts[0].name == f"organizations/100/projects/{api}"
    assert (found.new_issue_count, found.changed_file_count) == (5, 2)
    assert page(client, "1.0", project="api").new_issue_count == 2
    assert [(author.user, author.display_name, author.email) for author in found.author_facts] == [
        ("users/7", "Ada", "ada@x.org"),
        ("", "", "bob@x.org"),
    ]
    assert found.user_agent.startswith("grpc-python")


def test_the_basic_view_has_no_facts_and_takes_three_statements_at_most(
    features: RegionFeatures, client: Client
) -> None:
    client.create("1.0")
    with counted(features.database.engine) as statements:
        found = client.get("1.0")
    assert len(statements) <= 3
    assert not found.project_facts
    assert not found.author_facts


def test_release_row_03_a_project_that_is_not_accessible_or_not_the_releases_is_told_as_an_unknown_release(
    acme: Acme,
) -> None:
    client = acme.features.client
    client.create("1.0", ("web", "api"))
    client.create("1.1", ("web",))
    member = acme.user(MEMBER)
    assert page(member, "1.0", project="web").project_facts[0].slug == "web"
    assert [fact.slug for fact in page(member, "1.0").project_facts] == ["web"]
    unseen = wire(lambda: page(member, "1.0", project="api"))
    assert unseen == wire(lambda: page(member, "1.0", project="nope"))
    assert unseen[0] is grpc.StatusCode.NOT_FOUND
    for who, version, project in ((client, "1.1", "api"), (member, "1.0", "api"), (client, "1.0", "nope")):
        with refused() as found:
            page(who, version, project=project)
        assert (found[0].reason, found[0].resource) == (
            "RELEASE_NOT_FOUND",
            ("siloway/Release", f"organizations/100/releases/{version}"),
        )


def test_release_row_27_health_of_a_bad_project_is_refused_with_the_field(acme: Acme) -> None:
    client = acme.features.client
    client.create("1.0", ("web",))
    for project in ("api", "nope"):
        with refused() as found:
            page(client, "1.0", project=project, health_stats_period="24h")
        assert (found[0].reason, found[0].fields) == ("INVALID_FIELD", ["project"])
    with refused() as found:
        page(client, "2.0", project="nope", health_stats_period="24h")
    assert found[0].reason == "RELEASE_NOT_FOUND"


def test_an_owner_is_a_member_and_can_be_changed_and_cleared(acme: Acme) -> None:
    client = acme.features.client
    assert client.create("1.0", owner=f"users/{MEMBER}").release.owner == "users/1"
    assert client.get("1.0").owner == "users/1"
    assert client.update("1.0", owner="users/2").owner == "users/2"
    before = client.get("1.0")
    for owner in ("users/999", "users/x", "teams/1"):
        for call in (
            lambda owner=owner: client.update("1.0", owner=owner, ref="x"),
            lambda owner=owner: client.create("2.0", owner=owner),
        ):
            with refused() as found:
                call()
            assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["release.owner"])
    assert client.get("1.0") == before
    assert client.list() == ["1.0"]
    assert client.update("1.0", mask=("owner",)).owner == ""


def test_versions_are_taken_apart_and_compared(features: RegionFeatures) -> None:
    client = features.client_of("ci")

    def parse(version: str, other: str = "") -> release_pb.ParseVersionResponse:
        answer: release_pb.ParseVersionResponse = client.release.ParseVersion(
            release_pb.ParseVersionRequest(version=version, other_version=other)
        )
        return answer

    answer = parse("shop@1.0rc1+20", "shop@1.0")
    assert (answer.version_info.package, answer.version_info.prerelease) == ("shop", "rc1")
    assert (answer.version_info.build_number, answer.version_info.description) == (20, "1.0rc1 (20)")
    assert answer.comparison == release_pb.ParseVersionResponse.COMPARISON_LOWER
    assert not answer.broken_rules
    assert parse("a@1.0", "a@1.0.0").comparison == release_pb.ParseVersionResponse.COMPARISON_EQUAL
    assert parse("a@1.1", "a@1").comparison == release_pb.ParseVersionResponse.COMPARISON_HIGHER
    hashed = parse("shop@" + "ab" * 20, "shop@1.0")
    assert hashed.version_info.build_hash == "ab" * 20
    assert not hashed.version_info.HasField("build_number")
    assert hashed.comparison == release_pb.ParseVersionResponse.COMPARISON_UNSPECIFIED
    assert len(parse("a/b\\c\n").broken_rules) == 3
    assert not parse("hello world").HasField("version_info")


def test_a_release_of_a_build_hash_shows_it(client: Client, features: RegionFeatures) -> None:
    info = client.create("shop@" + "ab" * 20).release.version_info
    assert (info.package, info.build_hash, info.description) == ("shop", "ab" * 20, "ab" * 6)
    assert features.rows("SELECT package, major FROM release") == [(None, None)]
