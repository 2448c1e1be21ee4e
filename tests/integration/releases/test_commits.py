"""A release's list of commits through the public door. Numbers: the acceptance cases."""

from collections.abc import Iterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.refusals import refused
from tests.region_client import Client
from tests.region_features import RegionFeatures
from tests.statements import counted

pytestmark = pytest.mark.integration

Spec = release_pb.CommitSpec


def at(seconds: int) -> Timestamp:
    return Timestamp(seconds=1_700_000_000 + seconds)


@pytest.fixture(autouse=True)
def release(client: Client) -> release_pb.Release:
    return client.create("1.0").release


def ids(client: Client, version: str = "1.0") -> list[str]:
    return [commit.id for commit in client.commits(version).commits]


def test_release_case_31_a_skipped_commit_is_not_counted_and_has_no_row(
    features: RegionFeatures, client: Client
) -> None:
    specs = [Spec(id="a"), Spec(id="b", message="no #skipsentry please"), Spec(id="c"), Spec(id="d")]
    assert client.update("1.0", commits=specs).commit_count == 3
    assert ids(client) == ["a", "c", "d"]
    assert features.value("SELECT count(*) FROM commit") == 3


def test_release_case_32_without_times_the_first_entry_is_the_newest(client: Client) -> None:
    updated = client.update("1.0", commits=[Spec(id="b"), Spec(id="a"), Spec(id="c")])
    assert updated.last_commit.id == "b"
    assert ids(client) == ["b", "a", "c"]


def test_release_case_33_with_times_the_newest_is_first_and_has_the_highest_position(
    features: RegionFeatures, client: Client
) -> None:
    specs = [Spec(id="none"), Spec(id="old", commit_time=at(1)), Spec(id="new", commit_time=at(2))]
    assert client.update("1.0", commits=specs).last_commit.id == "new"
    assert ids(client) == ["new", "old", "none"]
    positions = "SELECT key, position FROM release_commit JOIN commit ON id = commit_id ORDER BY position DESC"
    assert features.rows(positions) == [("new", 3), ("old", 2), ("none", 1)]


def test_release_case_34_bare_ids_keep_what_is_stored(features: RegionFeatures, client: Client) -> None:
    told = Spec(id="a", message="text", author_name="Ann", author_email="ann@x.org", commit_time=at(5))
    first = client.update("1.0", commits=[told])
    again = client.update("1.0", commits=[Spec(id="a")])
    assert again.last_commit == first.last_commit
    assert list(again.authors) == ["ann@x.org"]
    assert features.value("SELECT authors FROM release") == [str(features.value("SELECT id FROM commit_author"))]


def test_a_release_shows_its_first_thousand_authors_and_tells_how_many_there_are(client: Client) -> None:
    emails = [f"a{number:04}@x.org" for number in range(1001)]
    found = client.update("1.0", commits=[Spec(id=email, author_email=email) for email in reversed(emails)])
    assert (list(found.authors), found.author_count) == (emails[:1000], 1001)
    request = release_pb.GetReleaseRequest(name=found.name, view=release_pb.RELEASE_VIEW_FULL)
    facts = client.release.GetRelease(request)
    assert ([author.email for author in facts.author_facts], facts.author_count) == (emails[:1000], 1001)


def test_an_author_keeps_a_name_until_another_is_told(features: RegionFeatures, client: Client) -> None:
    client.update("1.0", commits=[Spec(id="a", author_email="ann@x.org", author_name="Ann")])
    client.update("1.0", commits=[Spec(id="b", author_email="ann@x.org")])
    assert features.value("SELECT name FROM commit_author") == "Ann"
    client.update("1.0", commits=[Spec(id="b", author_email="ann@x.org", author_name="Anne")])
    assert features.value("SELECT name FROM commit_author") == "Anne"


def test_release_case_35_the_same_payload_again_touches_no_row_of_a_commit(
    features: RegionFeatures, client: Client
) -> None:
    change = release_pb.FileChange(path="a.py", type=release_pb.FileChange.TYPE_ADDED)
    specs = [
        Spec(id="a", message="one", author_email="a@x.org", author_name="Ann", commit_time=at(1), patch_set=[change]),
        Spec(id="b", repository="other", author_name="Bob"),
        Spec(id="c"),
    ]
    tables = ("commit", "commit_author", "commit_file_change", "repository", "release_commit", "release_head_commit")
    client.update("1.0", commits=specs)
    before = {table: features.rows(f"SELECT xmin::text, xmax::text, * FROM {table}") for table in tables}
    client.update("1.0", commits=specs)
    assert {table: features.rows(f"SELECT xmin::text, xmax::text, * FROM {table}") for table in tables} == before
    specs[1].message = "changed"
    client.update("1.0", commits=specs)
    changed = {table: features.rows(f"SELECT xmin::text, xmax::text, * FROM {table}") for table in tables}
    assert [table for table in tables if changed[table] != before[table]] == ["commit"]
    assert len(set(changed["commit"]) - set(before["commit"])) == 1


def test_release_case_36_addresses_that_differ_in_case_are_one_author(client: Client) -> None:
    specs = [Spec(id="a", author_email="Foo@Example.com"), Spec(id="b", author_email="foo@example.com")]
    assert list(client.update("1.0", commits=specs).authors) == ["foo@example.com"]


def test_release_case_37_an_address_of_two_hundred_characters_is_kept(client: Client) -> None:
    address = "a" * 188 + "@example.com"
    assert list(client.update("1.0", commits=[Spec(id="a", author_email=address)]).authors) == [address]
    with refused() as found:
        client.update("1.0", commits=[Spec(id="a", author_email="a" + address)])
    assert found[0].fields == ["commits.commits[0].author_email"]


def test_release_case_38_a_name_alone_makes_a_local_address(client: Client) -> None:
    updated = client.update("1.0", commits=[Spec(id="a", author_name="Jane Doe"), Spec(id="b", author_name="李")])
    assert "janedoe@localhost" in updated.authors
    assert len(updated.authors) == 2
    assert updated.last_commit.author_name == "Jane Doe"


def test_release_case_39_the_default_repository_is_the_organizations_own(
    features: RegionFeatures, client: Client
) -> None:
    updated = client.update("1.0", commits=[Spec(id="a")])
    assert updated.last_commit.repository == "organization-100"
    client.update("1.0", commits=[Spec(id="b")])
    assert features.rows("SELECT name, status, provider FROM repository") == [("organization-100", 0, None)]


def test_of_several_repositories_of_a_name_the_newest_active_one_is_taken(
    features: RegionFeatures, client: Client
) -> None:
    for provider, status in (("one", 0), ("two", 0), ("three", 1)):
        features.rows(
            """
            INSERT INTO repository (organization_id, name, provider, external_id, status, date_added)
            VALUES (100, 'shared', :provider, '1', :status, :now)
            """,
            provider=provider,
            status=status,
            now=features.clock.now(),
        )
    client.update("1.0", commits=[Spec(id="a", repository="shared")])
    chosen = features.value("SELECT provider FROM commit JOIN repository ON repository.id = repository_id")
    assert chosen == "two"


def test_heads_are_the_newest_commit_of_each_repository_and_follow_the_list(client: Client) -> None:
    specs = [
        Spec(id="a1", repository="a", commit_time=at(1)),
        Spec(id="a2", repository="a", commit_time=at(2)),
        Spec(id="b1", repository="b", commit_time=at(0)),
        Spec(id="b2", repository="b"),
    ]
    updated = client.update("1.0", commits=specs)
    assert [(head.repository, head.commit_id) for head in updated.heads] == [("a", "a2"), ("b", "b1")]
    updated = client.update("1.0", commits=[Spec(id="a1", repository="a"), Spec(id="c1", repository="c")])
    assert [(head.repository, head.commit_id) for head in updated.heads] == [("a", "a1"), ("c", "c1")]


def test_the_list_is_replaced_and_commits_stay_with_other_releases(features: RegionFeatures, client: Client) -> None:
    client.create("2.0")
    client.update("1.0", commits=[Spec(id="a"), Spec(id="b")])
    client.update("2.0", commits=[Spec(id="b"), Spec(id="c")])
    updated = client.update("1.0", commits=[Spec(id="c"), Spec(id="a"), Spec(id="d")])
    assert updated.commit_count == 3
    assert (ids(client, "1.0"), ids(client, "2.0")) == (["c", "a", "d"], ["b", "c"])
    assert features.value("SELECT count(*) FROM commit") == 4


def test_one_key_in_two_repositories_is_two_commits(client: Client) -> None:
    specs = [Spec(id="a", repository="x"), Spec(id="a", repository="y"), Spec(id="a", repository="x", message="late")]
    updated = client.update("1.0", commits=specs)
    assert updated.commit_count == 2
    shown = client.commits("1.0").commits
    assert [(commit.repository, commit.id, commit.message) for commit in shown] == [("x", "a", ""), ("y", "a", "")]


def test_file_changes_are_written_once(features: RegionFeatures, client: Client) -> None:
    change = release_pb.FileChange
    patch = [
        change(path="a", type=change.TYPE_ADDED),
        change(path="b", type=change.TYPE_MODIFIED),
        change(path="a", type=change.TYPE_DELETED),
    ]
    client.update("1.0", commits=[Spec(id="a", patch_set=patch), Spec(id="b")])
    client.update("1.0", commits=[Spec(id="a", patch_set=[change(path="c", type=change.TYPE_DELETED)])])
    found = features.rows("SELECT filename, type FROM commit_file_change ORDER BY filename")
    assert found == [("a", "A"), ("b", "M"), ("c", "D")]


def test_every_field_of_a_commit_comes_back(client: Client) -> None:
    specs = [
        Spec(
            id="a" * 64,
            repository="r" * 200,
            message="m\n" * 1000,
            author_name="n" * 128,
            author_email="E@X.org",
            commit_time=Timestamp(seconds=5, nanos=123_456_000),
        )
    ]
    client.update("1.0", commits=specs)
    (commit,) = client.commits("1.0").commits
    assert (commit.id, commit.repository, commit.message) == ("a" * 64, "r" * 200, "m\n" * 1000)
    assert (commit.author_name, commit.author_email) == ("n" * 128, "e@x.org")
    assert commit.commit_time == specs[0].commit_time


def pages(client: Client, size: int) -> Iterator[list[str]]:
    token = ""
    while True:
        page = client.commits("1.0", page_size=size, page_token=token)
        yield [commit.id for commit in page.commits]
        token = page.next_page_token
        if not token:
            return


@pytest.mark.parametrize("size", [1, 3, 7, 0])
def test_pages_of_commits_meet_without_gap_or_repeat(client: Client, size: int) -> None:
    assert [*pages(client, size)] == [[]]
    names = [f"c{n}" for n in range(7)]
    client.update("1.0", commits=[Spec(id=name) for name in names])
    found = [*pages(client, size)]
    assert [name for page in found for name in page] == names
    assert len(found) == (-(-7 // size) if size else 1)


def test_a_page_of_long_messages_ends_early(client: Client) -> None:
    long = "x" * 65_536
    client.update("1.0", commits=[Spec(id=f"c{n}", message=long) for n in range(40)])
    found = [*pages(client, 1000)]
    assert len(found) > 1
    assert [name for page in found for name in page] == [f"c{n}" for n in range(40)]


def test_ten_thousand_commits_take_as_many_statements_as_ten(features: RegionFeatures, client: Client) -> None:
    counts = []
    for size, version in ((10, "small"), (10_000, "large")):
        client.create(version)
        specs = [
            Spec(id=f"{version}-{n}", message=f"commit {n}", author_email=f"a{n % 50}@x.org", repository=f"r{n % 3}")
            for n in range(size)
        ]
        with counted(features.database.engine) as statements:
            assert client.update(version, commits=specs, timeout=60).commit_count == size
        counts.append(len(statements))
    # The small one makes the repositories: at most two statements more.
    assert counts[1] <= counts[0] <= counts[1] + 2
