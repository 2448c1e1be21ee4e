"""What becomes of the commits that a release has, in each mode, and the files that the list changes."""

import itertools
import random

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.refusals import refused
from tests.region_client import Client
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Spec = release_pb.CommitSpec
Change = release_pb.FileChange


def at(seconds: int) -> Timestamp:
    return Timestamp(seconds=1_700_000_000 + seconds)


def heads(release: release_pb.Release) -> dict[str, str]:
    return {head.repository: head.commit_id for head in release.heads}


@pytest.fixture(autouse=True)
def release(client: Client) -> release_pb.Release:
    return client.create("1.0").release


def test_only_the_named_repositories_lose_their_commits_and_theirs_become_newer(client: Client) -> None:
    client.set_commits(
        "1.0",
        [
            Spec(id="a2", repository="a", commit_time=at(9), author_name="Ann"),
            Spec(id="b2", repository="b", commit_time=at(8), author_name="Bob"),
            Spec(id="a1", repository="a", commit_time=at(7), author_name="Ann"),
            Spec(id="b1", repository="b", commit_time=at(6), author_name="Bob"),
        ],
    )
    answer = client.set_commits(
        "1.0",
        [
            Spec(id="a3", repository="a", commit_time=at(3), author_name="Cid"),
            Spec(id="a1", repository="a", commit_time=at(2), author_name="Cid"),
        ],
        "REPLACE_REPOSITORY",
    )
    assert (answer.added_count, answer.removed_count, answer.release.commit_count) == (1, 1, 4)
    assert client.commit_ids("1.0") == ["a3", "a1", "b2", "b1"]
    assert client.commit_ids("1.0", page_size=1) == ["a3", "a1", "b2", "b1"]
    assert heads(answer.release) == {"a": "a3", "b": "b2"}
    assert answer.release.last_commit.id == "a3"
    assert list(answer.release.authors) == ["bob@localhost", "cid@localhost"]


def test_a_repository_whose_commits_are_all_skipped_is_named_and_loses_them(client: Client) -> None:
    client.set_commits("1.0", [Spec(id="a1", repository="a"), Spec(id="b1", repository="b")])
    answer = client.set_commits("1.0", [Spec(id="a2", repository="a", message="#skipsentry")], "REPLACE_REPOSITORY")
    assert (answer.removed_count, answer.skipped_count, heads(answer.release)) == (1, 1, {"b": "b1"})
    assert client.commit_ids("1.0") == ["b1"]


def test_replacing_all_takes_what_is_not_given(client: Client) -> None:
    client.set_commits("1.0", [Spec(id="a"), Spec(id="b"), Spec(id="c", repository="other")])
    answer = client.set_commits("1.0", [Spec(id="d"), Spec(id="b")])
    assert (answer.added_count, answer.removed_count, answer.release.commit_count) == (1, 2, 2)
    assert client.commit_ids("1.0") == ["d", "b"]
    assert heads(answer.release) == {"organization-100": "d"}


def test_appended_commits_take_their_place_by_time(client: Client) -> None:
    client.set_commits("1.0", [Spec(id=f"t{n}", commit_time=at(n)) for n in (10, 30, 50)])
    answer = client.set_commits(
        "1.0", [Spec(id="t40", commit_time=at(40)), Spec(id="t20", commit_time=at(20))], "APPEND"
    )
    assert (answer.added_count, answer.removed_count, answer.release.commit_count) == (2, 0, 5)
    assert client.commit_ids("1.0") == ["t50", "t40", "t30", "t20", "t10"]
    assert answer.release.last_commit.id == "t50"
    assert heads(answer.release) == {"organization-100": "t50"}
    newest = client.set_commits("1.0", [Spec(id="t60", commit_time=at(60)), Spec(id="bare")], "APPEND").release
    assert (newest.last_commit.id, heads(newest)) == ("t60", {"organization-100": "t60"})
    assert client.commit_ids("1.0", page_size=2) == ["t60", "t50", "t40", "t30", "t20", "t10", "bare"]


def test_appending_renumbers_nothing(features: RegionFeatures, client: Client) -> None:
    client.set_commits("1.0", [Spec(id=f"t{n}", commit_time=at(n)) for n in range(0, 100, 2)])
    before = set(features.rows("SELECT xmin::text, commit_id, position FROM release_commit"))
    client.set_commits("1.0", [Spec(id=f"t{n}", commit_time=at(n)) for n in range(1, 100, 2)], "APPEND")
    assert before < set(features.rows("SELECT xmin::text, commit_id, position FROM release_commit"))
    assert client.commit_ids("1.0") == [f"t{n}" for n in reversed(range(100))]


def test_appends_end_alike_in_every_order_also_when_a_time_is_told_late(client: Client) -> None:
    calls = [
        [Spec(id="a", repository="x", commit_time=at(1), author_name="Ann"), Spec(id="b", repository="x")],
        [Spec(id="b", repository="x", commit_time=at(9), author_name="Bob")],
        [Spec(id="a", repository="x"), Spec(id="c", repository="x", commit_time=at(5))],
    ]
    ends = set()
    for number, order in enumerate(itertools.permutations(calls)):
        version = f"p{number}"
        client.create(version)
        for call in order:
            for spec in call:
                spec.repository = f"repository-{number}"
            client.set_commits(version, call, "APPEND")
        found = client.get(version)
        ends.add((*client.commit_ids(version), found.last_commit.id, found.heads[0].commit_id, *found.authors))
        assert found.commit_count == 3
    assert ends == {("b", "c", "a", "b", "b", "ann@localhost", "bob@localhost")}


def test_appended_bare_ids_of_known_commits_stand_at_their_stored_time(client: Client) -> None:
    client.create("2.0")
    client.set_commits("2.0", [Spec(id="known", commit_time=at(5))])
    client.set_commits("1.0", [Spec(id="t9", commit_time=at(9)), Spec(id="t1", commit_time=at(1))])
    client.set_commits("1.0", [Spec(id="known")], "APPEND")
    assert client.commit_ids("1.0") == ["t9", "known", "t1"]


def test_a_head_set_by_a_ref_gives_way_to_the_newest_of_an_appending_call(
    features: RegionFeatures, client: Client
) -> None:
    client.set_commits("1.0", [Spec(id="t9", commit_time=at(9))])
    client.create("2.0")
    client.set_commits("2.0", [Spec(id="ref")])
    features.rows("UPDATE release_head_commit SET commit_id = (SELECT id FROM commit WHERE key = 'ref')")
    answer = client.set_commits("1.0", [Spec(id="t5", commit_time=at(5))], "APPEND")
    assert heads(answer.release) == {"organization-100": "t9"}


def test_appending_above_a_replaced_repository_stays_in_its_layer(client: Client) -> None:
    client.set_commits("1.0", [Spec(id="b1", repository="b", commit_time=at(50))])
    client.set_commits("1.0", [Spec(id="a1", repository="a", commit_time=at(10))], "REPLACE_REPOSITORY")
    client.set_commits("1.0", [Spec(id="b2", repository="b", commit_time=at(20))], "APPEND")
    client.set_commits("1.0", [Spec(id="b0", repository="b", commit_time=at(5))], "APPEND")
    assert client.commit_ids("1.0") == ["b2", "a1", "b0", "b1"]


def test_random_calls_keep_counts_heads_and_pages_true(features: RegionFeatures, client: Client) -> None:
    dice = random.Random(20)
    keys = [f"k{n}" for n in range(12)]
    for _ in range(40):
        specs = [
            Spec(
                id=key,
                repository=dice.choice(("a", "b", "c")),
                commit_time=at(dice.randrange(50)) if dice.random() < 0.7 else None,
                author_name=dice.choice(("", "Ann", "Bob")),
            )
            for key in dice.sample(keys, dice.randrange(1, 6))
        ]
        mode = dice.choice(("REPLACE_ALL", "REPLACE_REPOSITORY", "APPEND", "APPEND"))
        before = client.get("1.0").commit_count
        answer = client.set_commits("1.0", specs, mode)
        found = client.commits("1.0", page_size=1000).commits
        assert len(found) == answer.release.commit_count == before + answer.added_count - answer.removed_count
        assert [commit.id for commit in found] == client.commit_ids("1.0", page_size=dice.randrange(1, 4))
        newest: dict[str, str] = {}
        for commit in found:
            newest.setdefault(commit.repository, commit.id)
        assert heads(answer.release) == newest
        assert answer.release.last_commit == found[0]
        assert list(answer.release.authors) == sorted({commit.author_email for commit in found} - {""})


def test_changed_files_are_listed_once_by_repository_and_path(features: RegionFeatures, client: Client) -> None:
    added, deleted, modified = Change.TYPE_ADDED, Change.TYPE_DELETED, Change.TYPE_MODIFIED
    client.set_commits(
        "1.0",
        [
            Spec(id="1", repository="b", patch_set=[Change(path="x", type=added), Change(path="y", type=added)]),
            Spec(id="2", repository="b", patch_set=[Change(path="x", type=modified), Change(path="é", type=added)]),
            Spec(id="3", repository="B", patch_set=[Change(path="x", type=deleted)]),
            Spec(id="4", repository="b", patch_set=[Change(path="x", type=modified)]),
        ],
    )
    client.create("2.0")
    client.set_commits("2.0", [Spec(id="5", repository="b", patch_set=[Change(path="elsewhere", type=added)])])
    expected = [
        ("B", "x", ["D"], 1),
        ("b", "x", ["A", "M"], 3),
        ("b", "y", ["A"], 1),
        ("b", "é", ["A"], 1),
    ]
    for size in (0, 1, 3, 4):
        found, token = [], ""
        while True:
            request = release_pb.ListReleaseFilesRequest(
                parent="organizations/acme/releases/1.0", page_size=size, page_token=token
            )
            page = client.release.ListReleaseFiles(request)
            found += [(file.repository, file.path, list(file.types), file.commit_count) for file in page.files]
            token = page.next_page_token
            if not token:
                break
        assert found == expected
    with refused() as refusal:
        client.release.ListReleaseFiles(
            release_pb.ListReleaseFilesRequest(parent="organizations/acme/releases/2.0", page_token="broken")
        )
    assert refusal[0].reason == "INVALID_PAGE_TOKEN"
    with refused() as refusal:
        features.user(7).release.ListReleaseFiles(
            release_pb.ListReleaseFilesRequest(parent="organizations/acme/releases/1.0")
        )
    assert refusal[0].reason == "ORGANIZATION_NOT_FOUND"
