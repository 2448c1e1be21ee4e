"""Comparing two releases through the public door."""

from typing import Any

import grpc
import pytest
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.integration.releases.acme import MEMBER, Acme, wire
from tests.integration.releases.refs import Ref, add_repository, release_name, set_refs
from tests.refusals import refused
from tests.region_client import Client
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Spec = release_pb.CommitSpec
Change = release_pb.FileChange


def compare(client: Client, base: str, version: str, **page: Any) -> release_pb.CompareReleasesResponse:
    answer: release_pb.CompareReleasesResponse = client.release.CompareReleases(
        release_pb.CompareReleasesRequest(release=release_name(version), base_release=release_name(base), **page)
    )
    return answer


def spec(key: str, *paths: str, repository: str = "app", **fields: Any) -> release_pb.CommitSpec:
    files = [Change(path=path, type=Change.TYPE_MODIFIED) for path in paths]
    return Spec(id=key, repository=repository, patch_set=files, **fields)


@pytest.fixture
def two(client: Client) -> None:
    for version in ("1.0", "2.0"):
        client.create(version)
    client.update("1.0", commits=[spec("b", "x"), spec("a", "a.txt")])
    client.update(
        "2.0",
        commits=[
            spec("d", "x", "y", message="of d", author_name="Ann", author_email="ann@x.org"),
            spec("b", repository="lib"),
            spec("c", "x"),
            spec("b", "x"),
        ],
    )


@pytest.mark.usefixtures("two")
def test_commits_that_only_the_release_has_are_shown_with_their_files(client: Client) -> None:
    add_repository(client, "new")
    set_refs(client, "1.0", Ref(repository="new", commit="n"), without_fetch=True)
    shown = compare(client, "1.0", "2.0")
    # A key in two repositories is two commits.
    assert [(c.repository, c.id) for c in shown.commits] == [("app", "d"), ("lib", "b"), ("app", "c")]
    first = shown.commits[0]
    assert (first.message, first.author_name, first.author_email) == ("of d", "Ann", "ann@x.org")
    assert [(f.repository, f.path, list(f.types), f.commit_count) for f in first.files] == [
        ("app", "x", ["M"], 1),
        ("app", "y", ["M"], 1),
    ]
    assert (shown.commit_count, shown.file_count, shown.next_page_token) == (3, 2, "")
    assert [(h.repository, h.base_commit_id, h.commit_id) for h in shown.heads] == [
        ("app", "b", "d"),
        ("lib", "", "b"),
        ("new", "n", ""),
    ]


@pytest.mark.usefixtures("two")
def test_the_other_way_round_it_is_what_the_older_one_alone_has(client: Client) -> None:
    assert [c.id for c in compare(client, "2.0", "1.0").commits] == ["a"]
    same = compare(client, "1.0", "1.0")
    assert (len(same.commits), same.commit_count, same.file_count) == (0, 0, 0)


def test_pages_go_on_and_counts_come_with_the_first(client: Client) -> None:
    for version in ("1.0", "2.0"):
        client.create(version)
    client.update("1.0", commits=[spec(f"{n:03}") for n in range(0, 60, 3)])
    client.update("2.0", commits=[spec(f"{n:03}", f"{n}.txt", message="m" * 30_000) for n in range(60)])
    wanted = [f"{n:03}" for n in range(60) if n % 3]
    for size in (1, 7, 1000):
        shown, token, first = [], "", True
        while True:
            page = compare(client, "1.0", "2.0", page_size=size, page_token=token)
            assert (page.commit_count, page.file_count) == ((40, 40) if first else (0, 0))
            assert all(len(commit.files) == 1 for commit in page.commits)
            shown += [commit.id for commit in page.commits]
            token, first = page.next_page_token, False
            if not token:
                break
        assert shown == wanted
    with refused() as found:
        compare(client, "2.0", "1.0", page_token=compare(client, "1.0", "2.0", page_size=1).next_page_token)
    assert found[0].reason == "INVALID_PAGE_TOKEN"


def test_a_page_of_many_files_ends_early(client: Client) -> None:
    for version in ("1.0", "2.0"):
        client.create(version)
    client.update("2.0", commits=[spec(f"{n}", *(f"{n}-{file:03}" for file in range(700))) for n in range(8)])
    page = compare(client, "1.0", "2.0")
    assert [(commit.id, len(commit.files)) for commit in page.commits] == [(f"{n}", 700) for n in range(5)]
    rest = compare(client, "1.0", "2.0", page_token=page.next_page_token)
    assert [(commit.id, len(commit.files)) for commit in rest.commits] == [(f"{n}", 700) for n in range(5, 8)]
    assert (page.commit_count, page.file_count, rest.next_page_token) == (8, 5600, "")


def test_both_releases_must_be_readable(acme: Acme, client: Client) -> None:
    client.create("seen")
    client.create("hidden", ("api",))
    member = acme.user(MEMBER)
    for base, version in (("seen", "hidden"), ("hidden", "seen")):
        told = wire(lambda base=base, version=version: compare(member, base, version))  # type: ignore[misc]
        absent = wire(
            lambda base=base, version=version: compare(  # type: ignore[misc]
                member, base.replace("hidden", "absent"), version.replace("hidden", "absent")
            )
        )
        assert told[0] is absent[0] is grpc.StatusCode.NOT_FOUND
        assert told[1] == absent[1]


def test_releases_of_two_organizations_are_not_compared(features: RegionFeatures, client: Client) -> None:
    features.add_organization(200, "other")
    features.add_project("web", "organizations/200")
    client.create("1.0")
    client.create("1.0", parent="organizations/other")
    with refused() as found:
        client.release.CompareReleases(
            release_pb.CompareReleasesRequest(release=release_name("1.0"), base_release=release_name("1.0", "other"))
        )
    assert found[0].fields == ["base_release"]
    for names in (("100", "200"), ("200", "100"), ("other", "other")):
        with refused() as found:
            features.client_of("bound").release.CompareReleases(
                release_pb.CompareReleasesRequest(
                    release=release_name("1.0", names[0]), base_release=release_name("1.0", names[1])
                )
            )
        assert found[0].reason == "ORGANIZATION_NOT_FOUND"
