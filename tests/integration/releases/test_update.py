"""Changing releases through the public door. Numbers: the acceptance cases and the error table's rows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb
from sqlalchemy import text

from shared.database import Transaction
from tests.integration.database.sessions import GIVES_UP_S, wait_for_a_blocked_session
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

RELEASED = Timestamp(seconds=1_780_000_000)
LATER = Timestamp(seconds=1_790_000_000)
Spec = release_pb.CommitSpec
TABLES = (
    "release",
    "release_project",
    "repository",
    "commit_author",
    "commit",
    "release_commit",
    "release_head_commit",
)


@pytest.fixture(autouse=True)
def release(client: Client) -> release_pb.Release:
    return client.create("1.0").release


def everything(features: RegionFeatures) -> dict[str, list[Any]]:
    """Every row of the feature's tables, and of the request records."""
    tables = (*TABLES, "commit_file_change", "activity", "request_record")
    return {table: features.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


def test_release_case_21_fields_are_stored_and_the_first_release_time_makes_the_activity(
    features: RegionFeatures, client: Client, release: release_pb.Release
) -> None:
    client.update("1.0", ref="main", url="https://example.com/1")
    assert features.value("SELECT count(*) FROM activity") == 0
    client.update("1.0", release_time=RELEASED)
    updated = client.update("1.0", release_time=LATER)
    assert (updated.ref, updated.url, updated.release_time) == ("main", "https://example.com/1", LATER)
    client.update("1.0", mask=("release_time",))
    assert not client.get("1.0").HasField("release_time")
    client.update("1.0", release_time=RELEASED)
    assert features.rows("SELECT type, ident, data FROM activity") == [(10, "1.0", {"version": "1.0"})]
    assert updated.etag != release.etag


def test_release_case_22_the_ident_is_cut_and_the_data_is_not(features: RegionFeatures, client: Client) -> None:
    for last in "ab":
        client.create("v" * 64 + last)
        client.update("v" * 64 + last, release_time=RELEASED)
    found = features.rows("SELECT ident, data ->> 'version' FROM activity ORDER BY 2")
    assert found == [("v" * 64, "v" * 64 + "a"), ("v" * 64, "v" * 64 + "b")]


def test_release_case_23_an_archived_release_leaves_the_default_list_and_comes_back(client: Client) -> None:
    assert client.update("1.0", state=release_pb.Release.STATE_ARCHIVED).state == release_pb.Release.STATE_ARCHIVED
    assert client.list() == []
    assert client.list(state=release_pb.Release.STATE_ARCHIVED) == ["1.0"]
    client.update("1.0", state=release_pb.Release.STATE_OPEN)
    assert client.list(state=release_pb.Release.STATE_OPEN) == ["1.0"]


def test_a_mask_clears_what_it_names_and_keeps_the_rest(client: Client) -> None:
    client.update("1.0", ref="main", url="https://example.com", release_time=RELEASED)
    updated = client.update("1.0", mask=("url",), ref="other")
    assert (updated.ref, updated.url, updated.release_time) == ("main", "", RELEASED)
    updated = client.update("1.0", mask=("*",), url="https://example.com")
    assert (updated.ref, updated.url, updated.HasField("release_time")) == ("", "https://example.com", False)


@pytest.mark.parametrize("path", ["version", "commit_count", "projects", "nonsense"])
def test_a_path_that_cannot_change_is_refused_and_named(client: Client, path: str) -> None:
    with refused() as found:
        client.update("1.0", mask=("ref", path), ref="x")
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_UPDATE_MASK")
    assert found[0].fields == ["update_mask.paths[1]"]
    assert client.get("1.0").ref == ""


def test_an_etag_that_is_not_current_is_refused(client: Client, release: release_pb.Release) -> None:
    updated = client.update("1.0", ref="a", etag=release.etag)
    with refused() as found:
        client.update("1.0", ref="b", etag=release.etag)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert client.update("1.0", ref="b", etag=updated.etag).ref == "b"


def test_an_update_of_nothing_changes_nothing(client: Client, release: release_pb.Release) -> None:
    assert client.update("1.0") == release
    assert client.update("1.0", mask=("ref",)) == release


def test_release_row_01_an_unknown_release_is_not_updated(client: Client) -> None:
    with refused() as found:
        client.update("2.0", ref="x")
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "RELEASE_NOT_FOUND")
    assert found[0].resource == ("siloway/Release", "organizations/100/releases/2.0")


@pytest.mark.parametrize("name", ["", "organizations/acme", "organizations/acme/releases/", "releases/1.0"])
def test_a_malformed_name_is_refused(client: Client, name: str) -> None:
    request = release_pb.UpdateReleaseRequest(release=release_pb.Release(name=name), request_id=new_id())
    with refused() as found:
        client.release.UpdateRelease(request)
    assert found[0].fields == ["release.name"]


def test_release_row_10_case_26_a_commit_without_id_is_told_by_index(client: Client) -> None:
    for bad, field in ((Spec(), "id"), (Spec(id="a" * 65), "id"), (Spec(id=" "), "id"), (Spec(id="a\0"), "id")):
        with refused() as found:
            client.update("1.0", commits=[Spec(id="ok"), bad])
        assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT
        assert found[0].fields == [f"commits.commits[1].{field}"]


def test_release_row_11_a_file_change_is_told_by_both_indexes(client: Client) -> None:
    change: Any = release_pb.FileChange
    added = change.TYPE_ADDED
    bad = ((change(path="p" * 511, type=added), "path"), (change(path="p"), "type"), (change(path="p", type=9), "type"))
    for wrong, field in bad:
        specs = [Spec(id="a", patch_set=[change(path="ok", type=added), wrong])]
        with refused() as found:
            client.update("1.0", commits=specs)
        assert found[0].fields == [f"commits.commits[0].patch_set[1].{field}"]


def test_release_row_12_an_empty_list_of_commits_is_refused(client: Client) -> None:
    with refused() as found:
        client.update("1.0", commits=[])
    assert found[0].fields == ["commits.commits"]


def test_a_failing_update_changes_nothing(features: RegionFeatures, client: Client) -> None:
    client.update("1.0", commits=[Spec(id="a", author_name="Ann")])
    # The last thing that the update writes fails.
    features.rows(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'P0001'; END $$
        """
    )
    features.rows("CREATE TRIGGER refuse BEFORE INSERT ON activity EXECUTE FUNCTION refuse()")
    before = everything(features)
    request_id = new_id()
    specs = [Spec(id="b", author_email="b@x.org", repository="new")]
    with refused() as found:
        client.update("1.0", ref="x", release_time=RELEASED, commits=specs, request_id=request_id)
    assert found[0].code is grpc.StatusCode.INTERNAL
    assert everything(features) == before
    features.rows("DROP TRIGGER refuse ON activity")
    updated = client.update("1.0", ref="x", release_time=RELEASED, commits=specs, request_id=request_id)
    assert (updated.ref, updated.commit_count) == ("x", 1)
    assert features.value("SELECT count(*) FROM activity") == 1


def test_a_repeat_with_the_same_request_id_gets_the_first_answer(client: Client) -> None:
    request_id = new_id()
    specs = [Spec(id="a", commit_time=RELEASED), Spec(id="b", author_name="Ann")]
    first = client.update("1.0", ref="a", commits=specs, request_id=request_id)
    client.update("1.0", ref="b", commits=[Spec(id="c")])
    assert client.update("1.0", ref="a", commits=specs, request_id=request_id, organization="100") == first
    assert client.get("1.0").ref == "b"
    with refused() as found:
        client.update("1.0", ref="a", commits=specs[:1], request_id=request_id)
    assert found[0].reason == "REQUEST_ID_REUSED"


def test_release_case_27_row_17_a_writer_waits_for_another_up_to_its_deadline(
    features: RegionFeatures, client: Client
) -> None:
    locked, done = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        locked.set()
        assert done.wait(20)

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(features.database.transact, hold)
        assert locked.wait(20)
        with refused() as found:
            client.update("1.0", ref="late", timeout=GIVES_UP_S)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.ABORTED, "WRITE_CONFLICT")
        assert found[0].retry_after_s is not None
        waiting = pool.submit(client.update, "1.0", ref="patient")
        wait_for_a_blocked_session(features.database)
        done.set()
        holder.result(20)
        assert waiting.result(20).ref == "patient"


def test_concurrent_updates_end_as_some_order_of_them(features: RegionFeatures) -> None:
    count = 6
    barrier = threading.Barrier(count)
    lists = [[Spec(id=f"{writer}-{n}", author_name=f"w{writer}") for n in range(20)] for writer in range(count)]

    def update(writer: int) -> release_pb.Release:
        client = features.client_of("all")
        barrier.wait(20)
        return client.update("1.0", ref=str(writer), commits=lists[writer], release_time=RELEASED)

    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(update, range(count)))
    last = features.client.get("1.0")
    assert last == answers[int(last.ref)]
    shown = [commit.id for commit in features.client.commits("1.0").commits]
    assert shown == [spec.id for spec in lists[int(last.ref)]]
    assert features.value("SELECT count(*) FROM activity") == 1


def test_releases_that_share_commits_and_authors_do_not_deadlock(features: RegionFeatures, client: Client) -> None:
    count = 4
    for writer in range(count):
        client.create(f"2.{writer}")
    barrier = threading.Barrier(count)

    def update(writer: int) -> None:
        mine = features.client_of("all")
        specs = [Spec(id=f"c{n}", author_email=f"a{n % 7}@x.org", author_name=f"by {writer}") for n in range(100)]
        for _ in range(3):
            barrier.wait(20)
            mine.update(f"2.{writer}", commits=specs if writer % 2 else specs[::-1])

    features.rows("SELECT pg_stat_reset()")
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(update, range(count)))
    assert features.value("SELECT count(*) FROM commit") == 100
    assert features.value("SELECT count(*) FROM release_commit") == 400
    assert features.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


def test_release_case_21_the_activity_is_made_once_also_after_a_failed_first_try(
    features: RegionFeatures, client: Client, release: release_pb.Release
) -> None:
    released, later = Timestamp(seconds=1_780_000_000), Timestamp(seconds=1_790_000_000)
    with refused() as found:
        client.update(release.version, release_time=released, etag="0-0")
    assert found[0].reason == "ETAG_MISMATCH"
    assert features.value("SELECT count(*) FROM activity") == 0
    for time in (released, later):
        client.update(release.version, release_time=time)
    client.update(release.version, mask=("release_time",))
    client.update(release.version, release_time=later)
    assert features.value("SELECT count(*) FROM activity WHERE type = 10") == 1
