"""Deleting releases through the public door. Numbers: the acceptance cases and the error table's rows."""

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.integration.releases.acme import MEMBER, Acme, wire
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

NAME = "organizations/100/releases/1.0"
TABLES = (
    "release",
    "release_project",
    "release_commit",
    "release_head_commit",
    "release_environment",
    "release_project_environment",
    "deploy",
    "deploy_project",
    "issue_release",
    "issue_resolution",
    "commit_fetch",
    "activity",
)


@pytest.fixture
def releaser(features: RegionFeatures) -> Client:
    return features.client_of("releaser")


def delete(client: Client, version: str = "1.0", *, etag: str = "", request_id: str = "") -> None:
    client.release.DeleteRelease(
        release_pb.DeleteReleaseRequest(
            name=f"organizations/acme/releases/{version}", etag=etag, request_id=request_id or new_id()
        )
    )


def insert(features: RegionFeatures, table: str, **values: Any) -> Any:
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    return features.rows(f"INSERT INTO {table} ({columns}) VALUES ({places})", **values)


def add_issue(features: RegionFeatures, *, first_release_id: int | None) -> int:
    now = features.clock.now()
    project_id = features.value("SELECT id FROM project WHERE slug = 'web'")
    insert(
        features,
        "issue",
        id=9001,
        organization_id=100,
        project_id=project_id,
        short_id=1,
        title="it breaks",
        status=1,
        first_release_id=first_release_id,
        first_seen=now,
        last_seen=now,
    )
    return 9001


def add_environment(features: RegionFeatures, name: str) -> int:
    statement = "INSERT INTO environment (organization_id, name, date_added) VALUES (100, :name, now()) RETURNING id"
    return int(features.value(statement, name=name))


def test_release_case_47_row_23_a_release_that_an_issue_was_first_seen_in_stays(
    features: RegionFeatures, client: Client, releaser: Client
) -> None:
    made = client.create("1.0").release
    add_issue(features, first_release_id=int(made.uid))
    with refused() as found:
        delete(releaser)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RELEASE_REFERENCED")
    assert found[0].resource == ("siloway/Release", NAME)
    assert client.get("1.0") == made


def test_release_case_47_otherwise_the_release_is_gone_with_all_that_refers_to_it(
    features: RegionFeatures, client: Client, releaser: Client
) -> None:
    made = client.create("1.0", release_time=Timestamp(seconds=1_780_000_000)).release
    client.update("1.0", commits=[release_pb.CommitSpec(id="a"), release_pb.CommitSpec(id="b", repository="r")])
    release_id, now = int(made.uid), features.clock.now()
    issue_id, place = add_issue(features, first_release_id=None), add_environment(features, "production")
    project_id = features.value("SELECT id FROM project WHERE slug = 'web'")
    below = {"organization_id": 100, "release_id": release_id}
    seen = {"first_seen": now, "last_seen": now}
    insert(features, "release_environment", **below, environment_id=place, **seen)
    insert(features, "release_project_environment", **below, project_id=project_id, environment_id=place, **seen)
    insert(features, "deploy", **below, id=7001, environment_id=place, date_added=now)
    insert(features, "deploy_project", deploy_id=7001, project_id=project_id, organization_id=100)
    insert(
        features,
        "activity",
        organization_id=100,
        project_id=project_id,
        type=17,
        deploy_id=7001,
        datetime=now,
    )
    insert(features, "issue_resolution", **below, issue_id=issue_id, type=0, status=1, datetime=now)
    insert(features, "issue_release", **below, issue_id=issue_id, project_id=project_id, environment="x", **seen)
    insert(features, "issue_history", **below, issue_id=issue_id, project_id=project_id, status=1, date_added=now)
    insert(
        features,
        "commit_fetch",
        **below,
        id=8001,
        principal="tokens/1",
        refs="[]",
        state="succeeded",
        created_at=now,
        updated_at=now,
    )
    assert all(features.value(f"SELECT count(*) FROM {table}") for table in TABLES)
    delete(releaser)
    assert {table: features.value(f"SELECT count(*) FROM {table}") for table in TABLES} == dict.fromkeys(TABLES, 0)
    assert features.rows("SELECT release_id, status FROM issue_history") == [(None, 1)]
    assert features.value("SELECT status FROM issue") == 1
    assert features.value("SELECT count(*) FROM commit") == 2
    with refused() as found:
        client.get("1.0")
    assert found[0].reason == "RELEASE_NOT_FOUND"
    again = client.create("1.0", release_time=Timestamp(seconds=1_780_000_000)).release
    assert again.uid != made.uid
    assert features.value("SELECT count(*) FROM activity WHERE type = 10") == 1


@pytest.mark.parametrize(("where", "days"), [("link", 89), ("link", 91), ("seen", 89), ("seen", 91)])
def test_release_row_24_a_release_with_health_data_of_ninety_days_stays(
    features: RegionFeatures, client: Client, releaser: Client, where: str, days: int
) -> None:
    release_id = int(client.create("1.0").release.uid)
    if where == "link":
        features.rows("UPDATE release_project SET adopted = now() - make_interval(days => :days)", days=days)
    else:
        features.rows(
            """
            INSERT INTO release_project_environment
                (organization_id, release_id, project_id, environment_id, first_seen, last_seen, adopted)
            SELECT 100, :release_id, project_id, :place, now(), now() - make_interval(days => :days),
                now() - make_interval(days => 200)
            FROM release_project
            """,
            release_id=release_id,
            place=add_environment(features, "production"),
            days=days,
        )
    if days > 90:
        delete(releaser)
        return
    with refused() as found:
        delete(releaser)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RELEASE_HEALTH_DATA")
    assert features.value("SELECT count(*) FROM release") == 1


def test_a_deletion_is_repeated_by_its_request_id_only(client: Client, releaser: Client) -> None:
    client.create("1.0")
    request_id = new_id()
    delete(releaser, request_id=request_id)
    delete(releaser, request_id=request_id)
    with refused() as found:
        delete(releaser)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "RELEASE_NOT_FOUND")
    with refused() as found:
        delete(releaser, "2.0", request_id=request_id)
    assert found[0].reason == "REQUEST_ID_REUSED"


def test_a_deletion_with_an_old_etag_is_refused(client: Client, releaser: Client) -> None:
    old = client.create("1.0").release.etag
    new = client.update("1.0", ref="x").etag
    with refused() as found:
        delete(releaser, etag=old)
    assert (found[0].reason, found[0].metadata) == ("ETAG_MISMATCH", {"etag": new})
    delete(releaser, etag=new)


def test_release_row_06_who_may_write_only_may_not_delete(client: Client) -> None:
    client.create("1.0")
    with refused() as found:
        delete(client)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


def test_release_row_02_deleting_takes_all_projects_of_the_release(acme: Acme) -> None:
    client = acme.features.client
    client.create("1.0", ("web", "api"))
    client.create("1.1", ("web",))
    member = acme.user(MEMBER)
    assert wire(lambda: delete(member)) == wire(lambda: delete(member))
    with refused() as found:
        delete(member)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "RELEASE_NOT_FOUND")
    delete(member, "1.1")
    assert acme.features.rows("SELECT version FROM release") == [("1.0",)]
