"""SetCommits and ClearCommits through the public door. Numbers: acceptance cases and error rows of releases."""

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures
from tests.statements import counted

pytestmark = pytest.mark.integration

Spec = release_pb.CommitSpec
Change = release_pb.FileChange
TABLES = (
    "release",
    "commit",
    "commit_author",
    "commit_file_change",
    "repository",
    "release_commit",
    "release_head_commit",
)


def at(seconds: int) -> Timestamp:
    return Timestamp(seconds=1_700_000_000 + seconds)


def versions_of_rows(features: RegionFeatures) -> dict[str, list[Any]]:
    return {table: features.rows(f"SELECT xmin::text, * FROM {table} ORDER BY 2, 3") for table in TABLES}


def heads(release: release_pb.Release) -> dict[str, str]:
    return {head.repository: head.commit_id for head in release.heads}


@pytest.fixture(autouse=True)
def release(client: Client) -> release_pb.Release:
    return client.create("1.0").release


@pytest.mark.parametrize("bad", [Spec(), Spec(id="a" * 65), Spec(id=" "), Spec(id="a\0")])
def test_release_case_26_row_10_a_commit_without_a_good_id_is_told_by_index(
    features: RegionFeatures, client: Client, bad: release_pb.CommitSpec
) -> None:
    with refused() as found:
        client.set_commits("1.0", [Spec(id="ok"), bad])
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert found[0].fields == ["commits.commits[1].id"]
    assert features.value("SELECT count(*) FROM commit") == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Change(path="p" * 511, type=Change.TYPE_ADDED), "path"),
        (Change(path="", type=Change.TYPE_ADDED), "path"),
        (Change(path="p"), "type"),
        (Change(path="p", type=9), "type"),  # type: ignore[arg-type]
    ],
)
def test_release_row_11_a_file_change_is_told_by_both_indexes(
    client: Client, wrong: release_pb.FileChange, field: str
) -> None:
    good = Change(path="p" * 510, type=Change.TYPE_ADDED)
    with refused() as found:
        client.set_commits("1.0", [Spec(id="a"), Spec(id="b", patch_set=[good, wrong])])
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert found[0].fields == [f"commits.commits[1].patch_set[1].{field}"]


def test_release_row_12_a_set_that_is_absent_or_empty_is_refused(client: Client) -> None:
    request = release_pb.SetCommitsRequest(
        release="organizations/acme/releases/1.0",
        mode=1,  # type: ignore[arg-type]
        request_id=new_id(),
    )
    with refused() as found:
        client.release.SetCommits(request)
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["commits"])
    with refused() as found:
        client.set_commits("1.0", [])
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["commits.commits"])


def test_a_mode_must_be_told_and_known(client: Client) -> None:
    for mode in (0, 9):
        request = release_pb.SetCommitsRequest(
            release="organizations/acme/releases/1.0",
            mode=mode,  # type: ignore[arg-type]
            commits=release_pb.CommitSet(commits=[Spec(id="a")]),
            request_id=new_id(),
        )
        with refused() as found:
            client.release.SetCommits(request)
        assert found[0].fields == ["mode"]


def test_release_row_28_clearing_without_or_with_several_heads_is_no_error(client: Client) -> None:
    assert client.clear_commits("1.0").removed_count == 0
    client.set_commits("1.0", [Spec(id="a", repository="x"), Spec(id="b", repository="y")])
    cleared = client.clear_commits("1.0")
    assert (cleared.removed_count, list(cleared.release.heads)) == (2, [])


def test_release_row_29_empty_messages_and_mixed_times_are_well(client: Client) -> None:
    specs = [Spec(id="a"), Spec(id="b", message="", commit_time=at(1)), Spec(id="c"), Spec(id="d", commit_time=at(2))]
    assert client.set_commits("1.0", specs).added_count == 4
    assert client.commit_ids("1.0") == ["d", "b", "a", "c"]


def test_release_case_31_a_skipped_commit_is_not_counted_and_has_no_row(
    features: RegionFeatures, client: Client
) -> None:
    specs = [Spec(id="a"), Spec(id="b", message="no #skipsentry please"), Spec(id="c"), Spec(id="d")]
    answer = client.set_commits("1.0", specs)
    assert (answer.release.commit_count, answer.added_count, answer.skipped_count) == (3, 3, 1)
    assert client.commit_ids("1.0") == ["a", "c", "d"]
    assert features.value("SELECT count(*) FROM commit") == 3


def test_release_case_32_without_times_the_first_entry_is_the_newest(client: Client) -> None:
    answer = client.set_commits("1.0", [Spec(id="b"), Spec(id="a"), Spec(id="c")])
    assert answer.release.last_commit.id == "b"
    assert client.commit_ids("1.0") == ["b", "a", "c"]


def test_release_case_33_with_times_the_newest_is_first(features: RegionFeatures, client: Client) -> None:
    specs = [Spec(id="none"), Spec(id="old", commit_time=at(1)), Spec(id="new", commit_time=at(2))]
    assert client.set_commits("1.0", specs).release.last_commit.id == "new"
    assert client.commit_ids("1.0") == ["new", "old", "none"]
    positions = "SELECT key, position FROM release_commit JOIN commit ON id = commit_id ORDER BY position DESC"
    assert features.rows(positions) == [("new", 3), ("old", 2), ("none", 1)]


def test_release_case_34_bare_ids_keep_what_is_stored(features: RegionFeatures, client: Client) -> None:
    told = Spec(id="a", message="text", author_name="Ann", author_email="ann@x.org", commit_time=at(5))
    first = client.set_commits("1.0", [told])
    client.create("2.0")
    again = client.set_commits("2.0", [Spec(id="a")])
    assert again.release.last_commit == first.release.last_commit
    assert list(again.release.authors) == ["ann@x.org"]
    author = str(features.value("SELECT id FROM commit_author"))
    assert features.rows("SELECT authors FROM release") == [([author],), ([author],)]


@pytest.mark.parametrize("mode", ["REPLACE_ALL", "REPLACE_REPOSITORY", "APPEND"])
def test_release_case_35_the_same_payload_again_touches_no_row(
    features: RegionFeatures, client: Client, mode: str
) -> None:
    client.set_commits("1.0", [Spec(id="z", repository="stays", author_name="Zoe")])
    specs = [
        Spec(
            id="a",
            message="one",
            author_email="a@x.org",
            author_name="Ann",
            commit_time=at(1),
            patch_set=[Change(path="a.py", type=Change.TYPE_ADDED)],
        ),
        Spec(id="b", repository="other", author_name="Bob"),
        Spec(id="c"),
    ]
    first = client.set_commits("1.0", specs, mode)
    before = versions_of_rows(features)
    again = client.set_commits("1.0", specs, mode)
    assert versions_of_rows(features) == before
    assert again.release == first.release
    assert (again.added_count, again.removed_count) == (0, 0)
    specs[1].message = "changed"
    assert client.set_commits("1.0", specs, mode).release.etag != first.release.etag
    after = versions_of_rows(features)
    assert [table for table in TABLES if after[table] != before[table]] == ["release", "commit"]
    assert len(set(map(str, after["commit"])) - set(map(str, before["commit"]))) == 1


def test_release_case_36_addresses_that_differ_in_case_are_one_author(features: RegionFeatures, client: Client) -> None:
    specs = [Spec(id="a", author_email="Foo@Example.com"), Spec(id="b", author_email="foo@example.com")]
    assert list(client.set_commits("1.0", specs).release.authors) == ["foo@example.com"]
    assert features.rows("SELECT email FROM commit_author") == [("foo@example.com",)]


def test_release_case_37_an_address_of_two_hundred_characters_is_kept(client: Client) -> None:
    address = "a" * 188 + "@example.com"
    assert list(client.set_commits("1.0", [Spec(id="a", author_email=address)]).release.authors) == [address]
    with refused() as found:
        client.set_commits("1.0", [Spec(id="a", author_email="a" + address)])
    assert found[0].fields == ["commits.commits[0].author_email"]


def test_release_case_38_a_name_alone_makes_a_local_address(client: Client) -> None:
    answer = client.set_commits("1.0", [Spec(id="a", author_name="Jane Doe"), Spec(id="b", author_name="李")])
    assert "janedoe@localhost" in answer.release.authors
    assert len(answer.release.authors) == 2
    assert answer.release.last_commit.author_name == "Jane Doe"


def test_release_case_39_the_default_repository_is_the_organizations_own(
    features: RegionFeatures, client: Client
) -> None:
    assert client.set_commits("1.0", [Spec(id="a")]).release.last_commit.repository == "organization-100"
    client.set_commits("1.0", [Spec(id="b", repository="  ")])
    assert features.rows("SELECT name, status, provider FROM repository") == [("organization-100", 0, None)]


def test_release_case_45_clearing_empties_the_release_and_keeps_the_commits(
    features: RegionFeatures, client: Client
) -> None:
    client.set_commits("1.0", [Spec(id="a", author_name="Ann"), Spec(id="b", repository="other")])
    request_id = new_id()
    cleared = client.clear_commits("1.0", request_id=request_id)
    assert cleared.removed_count == 2
    release = cleared.release
    assert (release.commit_count, list(release.heads), list(release.authors)) == (0, [], [])
    assert not release.HasField("last_commit")
    for table in ("release_commit", "release_head_commit"):
        assert features.value(f"SELECT count(*) FROM {table}") == 0
    assert features.value("SELECT count(*) FROM commit") == 2
    assert client.clear_commits("1.0").release == release
    client.set_commits("1.0", [Spec(id="c")])
    assert client.clear_commits("1.0", request_id=request_id) == cleared
    assert client.commit_ids("1.0") == ["c"]


def test_release_case_46_no_file_changes_are_well_and_an_unknown_type_is_refused(
    features: RegionFeatures, client: Client
) -> None:
    client.set_commits("1.0", [Spec(id="a")])
    assert features.value("SELECT count(*) FROM commit_file_change") == 0
    with refused() as found:
        client.set_commits("1.0", [Spec(id="a", patch_set=[Change(path="p", type=7)])])  # type: ignore[arg-type]
    assert found[0].fields == ["commits.commits[0].patch_set[0].type"]


def test_one_message_has_at_most_ten_thousand_commits(client: Client) -> None:
    with refused() as found:
        client.set_commits("1.0", [Spec(id=str(n)) for n in range(10_001)])
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["commits.commits"])


def test_one_commit_has_at_most_a_thousand_file_changes(client: Client) -> None:
    changes = [Change(path=str(n), type=Change.TYPE_ADDED) for n in range(1001)]
    with refused() as found:
        client.set_commits("1.0", [Spec(id="a", patch_set=changes)])
    assert (found[0].code, found[0].fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["commits.commits[0].patch_set"],
    )


def test_one_message_has_at_most_a_hundred_thousand_file_changes(features: RegionFeatures, client: Client) -> None:
    changes = [Change(path=str(n), type=Change.TYPE_ADDED) for n in range(1000)]
    with refused() as found:
        client.set_commits("1.0", [Spec(id=str(n), patch_set=changes) for n in range(101)])
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert found[0].metadata == {"limit": "file_changes", "maximum": "100000"}
    assert features.value("SELECT count(*) FROM commit") == 0


def test_ten_thousand_commits_take_as_many_statements_as_ten(features: RegionFeatures, client: Client) -> None:
    client.set_commits("1.0", [Spec(id="a", repository=f"r{n}") for n in range(3)])
    counts: dict[str, list[int]] = {"first": [], "again": [], "append": []}
    for size, version in ((10, "small"), (10_000, "large")):
        client.create(version)
        specs = [
            Spec(
                id=f"{version}-{n}",
                message=f"commit {n}",
                author_email=f"a{n % 50}@x.org",
                repository=f"r{n % 3}",
                patch_set=[Change(path=f"f{n}", type=Change.TYPE_ADDED)],
            )
            for n in range(size)
        ]
        for call, mode in (("first", "REPLACE_ALL"), ("again", "REPLACE_ALL"), ("append", "APPEND")):
            with counted(features.database.engine) as statements:
                assert client.set_commits(version, specs, mode, timeout=60).release.commit_count == size
            # The cache looks at its gate by the clock, not by the call.
            counts[call].append(sum("model_cache_gate" not in statement for statement in statements))
    for call, (small, large) in counts.items():
        assert small == large, call
        assert large < 30


def test_who_may_not_change_the_release_hears_what_it_hears_of_an_unknown_one(features: RegionFeatures) -> None:
    stranger = features.user(5)
    for call in (lambda: stranger.set_commits("1.0", [Spec(id="a")]), lambda: stranger.clear_commits("1.0")):
        with refused() as found:
            call()
        assert found[0].code is grpc.StatusCode.NOT_FOUND
    with refused() as found:
        features.client.set_commits("2.0", [Spec(id="a")])
    assert (found[0].reason, found[0].resource) == (
        "RELEASE_NOT_FOUND",
        ("siloway/Release", "organizations/100/releases/2.0"),
    )


def test_create_takes_commits_for_a_new_release_and_for_one_that_exists(client: Client) -> None:
    request = release_pb.CreateReleaseRequest(
        parent="organizations/acme",
        release=release_pb.Release(version="3.0"),
        projects=["web"],
        request_id=new_id(),
        commits=release_pb.CommitSet(commits=[Spec(id="a"), Spec(id="b")]),
    )
    assert client.release.CreateRelease(request).release.commit_count == 2
    again = release_pb.CreateReleaseRequest()
    again.CopyFrom(request)
    again.request_id = new_id()
    del again.commits.commits[1:]
    answer = client.release.CreateRelease(again)
    assert (answer.already_existed, answer.release.commit_count) == (True, 1)
    assert client.commit_ids("3.0") == ["a"]


def test_a_repeat_with_the_same_request_id_gets_the_first_answer(client: Client) -> None:
    request_id = new_id()
    first = client.set_commits("1.0", [Spec(id="a")], request_id=request_id)
    client.set_commits("1.0", [Spec(id="b")])
    assert client.set_commits("1.0", [Spec(id="a")], request_id=request_id) == first
    for changed, mode in (([Spec(id="c")], "REPLACE_ALL"), ([Spec(id="a")], "APPEND")):
        with refused() as found:
            client.set_commits("1.0", changed, mode, request_id=request_id)
        assert found[0].reason == "REQUEST_ID_REUSED"
    assert client.commit_ids("1.0") == ["b"]
