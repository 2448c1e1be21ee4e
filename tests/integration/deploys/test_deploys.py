"""Making, changing and listing deploys through the public door. Numbers: the error table's rows."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import grpc
import pytest
from siloway.region.v1 import deploy_service_pb2 as deploy_pb

from tests.integration.deploys.asking import (
    NOON,
    activities,
    announcements,
    deployed,
    environments,
    listed,
    release_id,
    updated,
)
from tests.integration.releases.acme import MEMBER, OWNER, Acme, wire
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration


def _patient(features: RegionFeatures, environment: str) -> deploy_pb.Deploy:
    """A deploy by a caller that comes again with the same request id when the door has no room."""
    request_id, pause = new_id(), threading.Event()
    for _ in range(600):
        with suppress(grpc.RpcError):
            return deployed(features.client, environment=environment, request_id=request_id)
        pause.wait(0.05)
    raise AssertionError("the door has no room")


def rows_of_deploys(features: RegionFeatures) -> list[int]:
    tables = (
        "deploy",
        "deploy_project",
        "environment",
        "environment_project",
        "release_environment",
        "release_project_environment",
        "activity",
        "outbox_message",
    )
    return [int(features.value(f"SELECT count(*) FROM {table}")) for table in tables]


def test_a_deploy_is_for_all_projects_of_its_release_has_finished_now_and_is_announced(acme: Acme) -> None:
    features = acme.features
    features.client.create("1.0", ("web", "api"))
    before = features.client.get("1.0").etag
    made = deployed(features.client, display_name="Friday", url="https://ci.example.com/1")
    assert made.name == f"organizations/100/releases/1.0/deploys/{made.uid}"
    both = sorted((acme.projects["web"], acme.projects["api"]))
    assert list(made.projects) == [f"organizations/100/projects/{project}" for project in both]
    assert (made.environment, made.display_name, made.url) == ("production", "Friday", "https://ci.example.com/1")
    assert made.HasField("announce_time")
    assert not made.HasField("start_time")
    assert features.client.deploys.GetDeploy(deploy_pb.GetDeployRequest(name=made.name)) == made
    assert features.rows("SELECT total_deploys, last_deploy_id FROM release") == [(1, int(made.uid))]
    assert features.client.get("1.0").etag != before
    assert activities(features) == [(project, int(made.uid)) for project in both]
    assert announcements(features) == [int(made.uid)]
    seen = features.rows("SELECT project_id, last_deploy_id FROM release_project_environment ORDER BY project_id")
    assert seen == [(project, int(made.uid)) for project in both]
    assert features.value("SELECT count(*) FROM environment_project") == 2
    assert features.value("SELECT count(*) FROM release_environment") == 1


def test_a_deploy_keeps_its_seen_times_in_order(features: RegionFeatures) -> None:
    features.client.create("1.0")
    deployed(features.client)
    last = deployed(features.client)
    assert features.rows("SELECT first_seen < last_seen, last_deploy_id FROM release_project_environment") == [
        (True, int(last.uid))
    ]
    assert features.rows("SELECT first_seen < last_seen FROM release_environment") == [(True,)]


def test_release_row_30_a_deploy_with_foreign_projects_is_refused_and_changes_nothing(acme: Acme) -> None:
    client = acme.features.client
    client.create("1.0", ("web", "api"))
    before = rows_of_deploys(acme.features)
    with refused() as found:
        deployed(client, projects=("web", "cli", "nobody's", str(acme.projects["api"]), "77"))
    assert found[0].code == grpc.StatusCode.INVALID_ARGUMENT
    assert found[0].fields == ["projects[1]", "projects[2]", "projects[4]"]
    assert rows_of_deploys(acme.features) == before
    made = deployed(client, projects=("api", str(acme.projects["api"]), "api"))
    assert list(made.projects) == [f"organizations/100/projects/{acme.projects['api']}"]
    assert activities(acme.features) == [(acme.projects["api"], int(made.uid))]


@pytest.mark.parametrize("name", ["", "none", "None", "NONE", "a/b", "a\nb", "a\rb", "a\tb", "a\fb", "a\0b", "x" * 65])
def test_a_name_that_no_environment_may_have_is_told_by_its_field(features: RegionFeatures, name: str) -> None:
    features.client.create("1.0")
    before = rows_of_deploys(features)
    with refused() as found:
        deployed(features.client, environment=name)
    assert found[0].code == grpc.StatusCode.INVALID_ARGUMENT
    assert set(found[0].fields) == {"deploy.environment"}
    assert rows_of_deploys(features) == before


@pytest.mark.parametrize("name", ["x" * 64, "nonesuch", "Prod EU", "ü"])
def test_any_other_name_is_an_environment(client: Client, name: str) -> None:
    client.create("1.0")
    assert deployed(client, environment=name).environment == name
    assert environments(client) == [name]


def test_each_broken_field_of_a_new_deploy_is_told(client: Client) -> None:
    client.create("1.0")
    with refused() as found:
        deployed(client, environment="none", running=True, finished=NOON, url="ftp://x")
    assert found[0].fields == ["deploy.environment", "running", "deploy.url"]


def test_a_running_deploy_is_announced_when_it_has_finished(features: RegionFeatures) -> None:
    client = features.client
    client.create("1.0")
    made = deployed(client, running=True)
    assert not made.HasField("finish_time")
    assert not made.HasField("announce_time")
    assert announcements(features) == []
    done = updated(client, made.name, finished=NOON)
    assert done.finish_time.ToDatetime(NOON.tzinfo) == NOON
    assert done.HasField("announce_time")
    assert done.etag != made.etag
    assert announcements(features) == [int(made.uid)]
    assert len(activities(features)) == 1
    assert updated(client, made.name, display_name="again").display_name == "again"
    assert announcements(features) == [int(made.uid)]


def test_the_time_of_an_announced_finish_stays(features: RegionFeatures) -> None:
    client = features.client
    client.create("1.0")
    made = deployed(client, finished=NOON)
    changes: list[Callable[[], object]] = [
        lambda: updated(client, made.name, "finish_time"),
        lambda: updated(client, made.name, "*"),
        lambda: updated(client, made.name, finished=NOON + timedelta(seconds=1)),
    ]
    for change in changes:
        with refused() as found:
            change()
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEPLOY_ANNOUNCED")
    same = updated(client, made.name, "*", finished=NOON, url="https://x.example", display_name="Friday")
    assert (same.url, same.display_name) == ("https://x.example", "Friday")
    assert updated(client, made.name, "url", "display_name").url == ""
    assert announcements(features) == [int(made.uid)]


def test_a_path_that_is_none_and_an_old_etag_are_refused(client: Client) -> None:
    client.create("1.0")
    made = deployed(client, running=True)
    with refused() as found:
        updated(client, made.name, "environment")
    assert (found[0].reason, found[0].fields) == ("INVALID_UPDATE_MASK", ["update_mask.paths[0]"])
    renamed = updated(client, made.name, display_name="x", etag=made.etag)
    with refused() as found:
        updated(client, made.name, display_name="y", etag=made.etag)
    assert found[0].reason == "ETAG_MISMATCH"
    assert found[0].metadata["etag"] == renamed.etag
    assert updated(client, made.name, display_name="x").etag == renamed.etag, "nothing has changed"


def test_a_repeat_gets_the_first_answer_and_makes_nothing(features: RegionFeatures) -> None:
    client = features.client
    client.create("1.0")
    request_id = new_id()
    made = deployed(client, request_id=request_id)
    before = rows_of_deploys(features)
    assert deployed(client, request_id=request_id) == made
    assert rows_of_deploys(features) == before
    assert features.value("SELECT total_deploys FROM release") == 1
    with refused() as found:
        deployed(client, request_id=request_id, environment="staging")
    assert found[0].reason == "REQUEST_ID_REUSED"
    request_id = new_id()
    first = updated(client, made.name, display_name="x", request_id=request_id)
    updated(client, made.name, display_name="y")
    assert updated(client, made.name, display_name="x", request_id=request_id) == first


def test_32_deploys_at_once_are_all_counted_and_each_is_announced_once(features: RegionFeatures) -> None:
    features.client.create("1.0")
    with ThreadPoolExecutor(32) as pool:
        made = list(pool.map(lambda number: _patient(features, f"e{number % 3}"), range(32)))
    ids = sorted(int(deploy.uid) for deploy in made)
    assert len(set(ids)) == 32
    assert features.value("SELECT total_deploys FROM release") == 32
    assert features.value("SELECT last_deploy_id FROM release") in ids
    assert sorted(announcements(features)) == ids
    assert [deploy for _, deploy in activities(features)] == ids
    assert features.value("SELECT count(*) FROM environment") == 3


def test_deploys_of_many_releases_at_once_share_a_new_environment(features: RegionFeatures) -> None:
    for number in range(16):
        features.client.create(f"{number}.0")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: deployed(features.client, f"{number}.0"), range(16)))
    assert features.value("SELECT count(*) FROM environment") == 1
    assert len(announcements(features)) == 16


def test_deploys_are_listed_running_first_then_by_finish_page_by_page(client: Client) -> None:
    client.create("1.0")
    early = deployed(client, finished=NOON)
    late = deployed(client, finished=NOON + timedelta(hours=2))
    middle = deployed(client, finished=NOON + timedelta(hours=1), environment="staging")
    running = [deployed(client, running=True) for _ in range(2)]
    runs = sorted(running, key=lambda deploy: int(deploy.uid), reverse=True)
    whole = [*runs, late, middle, early]
    assert [each.uid for each in listed(client).deploys] == [each.uid for each in whole]
    for size in (1, 2, 3):
        found: list[deploy_pb.Deploy] = []
        token = ""
        while True:
            page = listed(client, page_size=size, page_token=token)
            found += page.deploys
            token = page.next_page_token
            if not token:
                break
        assert [each.uid for each in found] == [each.uid for each in whole]
    staging = listed(client, environment="staging").deploys
    assert [each.uid for each in staging] == [middle.uid]
    with refused() as refusal:
        listed(client, environment="staging", page_token=listed(client, page_size=1).next_page_token)
    assert refusal[0].reason == "INVALID_PAGE_TOKEN"


def test_only_the_latest_deploy_of_each_project_and_environment(acme: Acme) -> None:
    client = acme.features.client
    client.create("1.0", ("web", "api"))
    old = deployed(client, finished=NOON)
    web = deployed(client, projects=("web",), finished=NOON + timedelta(hours=1))
    staging = deployed(client, environment="staging", finished=NOON + timedelta(hours=2))
    latest = [each.uid for each in listed(client, latest_only=True).deploys]
    assert latest == [staging.uid, web.uid, old.uid], "the old one is the latest of api"
    both = deployed(client, finished=NOON + timedelta(hours=3))
    assert [each.uid for each in listed(client, latest_only=True).deploys] == [both.uid, staging.uid]
    only = listed(client, latest_only=True, environment="production").deploys
    assert [each.uid for each in only] == [both.uid]


def test_environments_are_listed_by_name_and_by_project(acme: Acme) -> None:
    client = acme.features.client
    client.create("1.0", ("web", "api"))
    for name, project in (("c", "web"), ("a", "api"), ("b", "web")):
        deployed(client, environment=name, projects=(project,))
    assert environments(client) == ["a", "b", "c"]
    assert environments(client, project="web") == ["b", "c"]
    first = client.deploys.ListEnvironments(deploy_pb.ListEnvironmentsRequest(parent="organizations/acme", page_size=2))
    assert environments(client, page_size=2, page_token=first.next_page_token) == ["c"]
    assert environments(acme.user(MEMBER)) == ["b", "c"], "those of projects that the member sees"
    assert environments(acme.user(OWNER)) == ["a", "b", "c"]


def test_row_02_what_a_caller_may_not_change_or_see_is_told_as_what_is_not_there(acme: Acme) -> None:
    member, client = acme.user(MEMBER), acme.features.client
    unknown = wire(lambda: deployed(member))
    client.create("1.0", ("web", "api"))
    made = deployed(client, running=True, projects=("api",))
    absent = f"{made.name.rpartition('/')[0]}/77"
    before = rows_of_deploys(acme.features)
    assert wire(lambda: deployed(member)) == unknown, "a release is changed by who sees all its projects"

    def told(name: str, change: Callable[[str], object]) -> str:
        with refused() as found:
            change(name)
        assert found[0].code == grpc.StatusCode.NOT_FOUND
        return repr(found[0]).replace(name, "")

    for change in (
        lambda name: updated(member, name, display_name="x"),
        lambda name: updated(member, name, display_name="x", etag=made.etag),
        lambda name: member.deploys.GetDeploy(deploy_pb.GetDeployRequest(name=name)),
    ):
        assert told(made.name, change) == told(absent, change)
    assert list(listed(member).deploys) == [], "none of its projects is seen"
    assert rows_of_deploys(acme.features) == before
    deployed(client)
    assert [list(each.projects) for each in listed(member).deploys] == [
        [f"organizations/100/projects/{acme.projects['web']}"]
    ]
    acme.add_team(11, "api")
    acme.join(11, MEMBER)
    assert updated(member, made.name, display_name="x").display_name == "x"
    assert deployed(member).uid


def test_callers_without_the_scopes_and_of_other_organizations_change_nothing(features: RegionFeatures) -> None:
    features.client.create("1.0")
    made = deployed(features.client)
    for who, code in (("reader", grpc.StatusCode.PERMISSION_DENIED), ("nothing", grpc.StatusCode.PERMISSION_DENIED)):
        with refused() as found:
            deployed(features.client_of(who))
        assert found[0].code == code
    assert features.client_of("reader").deploys.GetDeploy(deploy_pb.GetDeployRequest(name=made.name)) == made
    assert deployed(features.client_of("ci")).uid
    features.add_organization(200, "other")
    with refused() as found:
        features.client_of("bound").deploys.ListEnvironments(
            deploy_pb.ListEnvironmentsRequest(parent="organizations/other")
        )
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"


def test_an_organization_that_is_to_be_deleted_gets_no_deploys(features: RegionFeatures) -> None:
    features.client.create("1.0")
    made = deployed(features.client, running=True)
    features.rows("UPDATE organization SET deletion = 1, purge_at = :now", now=NOON)
    changes: list[Callable[[], object]] = [
        lambda: deployed(features.client),
        lambda: updated(features.client, made.name, finished=NOON),
    ]
    for change in changes:
        with refused() as found:
            change()
        assert found[0].reason == "ORGANIZATION_PENDING_DELETION"
    assert announcements(features) == []


def test_deploys_go_with_their_release(features: RegionFeatures) -> None:
    features.client.create("1.0")
    deployed(features.client)
    features.rows("DELETE FROM release WHERE id = :id", id=release_id(features))
    assert features.value("SELECT count(*) FROM deploy") == 0
    assert environments(features.client) == ["production"]
