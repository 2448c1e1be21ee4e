"""Lists of releases through the public door: queries, orders, pages. Numbers: acceptance cases and rows."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.integration.releases.acme import MEMBER, Acme
from tests.integration.releases.test_facts import adopt, see
from tests.refusals import refused
from tests.region_client import Client
from tests.region_features import RegionFeatures
from tests.statements import counted

pytestmark = pytest.mark.integration

SHOP = ["shop@1.0.0", "shop@1.2.3-rc10", "shop@1.2.3-rc2+5", "shop@1.2.3+77", "shop@1.2.3.4+b7", "web@2.0", "other 1"]


@pytest.fixture
def shop(features: RegionFeatures) -> Client:
    for version in SHOP:
        features.client.create(version)
    return features.client


def pages(client: Client, size: int, **query: Any) -> Iterator[str]:
    token = ""
    while True:
        request = release_pb.ListReleasesRequest(parent="organizations/acme", page_size=size, page_token=token, **query)
        answer = client.release.ListReleases(request)
        yield from (release.version for release in answer.releases)
        token = answer.next_page_token
        if not token:
            return


def test_release_case_20_by_version_the_highest_is_first_and_filters_compare(client: Client) -> None:
    for version in ("a@1.2.3", "a@1.2.4", "a@1.2.3-alpha", "a@1.2.3-beta"):
        client.create(version)
    ordered = ["a@1.2.4", "a@1.2.3", "a@1.2.3-beta", "a@1.2.3-alpha"]
    assert client.list(order_by="semver") == ordered
    assert client.list(order_by="semver", query="release.version:>=1.2.3-beta") == ordered[:3]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SHOP@1.2.3", SHOP[1:5]),
        ("release:shop@1.0.0", SHOP[:1]),
        ('release:["other 1", web@2.0]', SHOP[5:]),
        ('release:!=["other 1", web@2.0]', SHOP[:5]),
        ("!release:shop@*", SHOP[5:]),
        ("release:*@1.2.3-*", SHOP[1:3]),
        ("release:latest", SHOP[6:]),
        ("!release:LATEST", SHOP[:6]),
        ("release.package:shop", SHOP[:5]),
        ("release.package:[web,x]", SHOP[5:6]),
        ("!release.package:sh*", SHOP[5:]),
        ("release.version:1.2.3", SHOP[3:4]),
        ("release.version:1.2.3-rc2", SHOP[2:3]),
        ("release.version:>1", [*SHOP[1:6]]),
        ("release.version:>=shop@1", SHOP[:5]),
        ("release.version:>1.2.3", SHOP[4:6]),
        ("release.version:<1.2.3", SHOP[:3]),
        ("release.version:<=1.2.3", SHOP[:4]),
        ("release.version:1.2.*", SHOP[1:5]),
        ("release.version:1.X", SHOP[:5]),
        ("release.version:!=1.X", SHOP[5:]),
        ("release.version:[1.0,2]", [SHOP[0], SHOP[5]]),
        ("release.version:>=1.2.3-rc2 release.version:<2", SHOP[2:5]),
        ("release.build:77", SHOP[3:4]),
        ("release.build:>5", SHOP[3:4]),
        ("release.build:[5, b7]", [SHOP[2], SHOP[4]]),
        ("release.build:b*", SHOP[4:5]),
        ("release.build:", SHOP),
        ("release.build:99999999999999999999", []),
        ("finalized:true", []),
        ("finalized:false", SHOP),
        ("!finalized:true shop release.build:77", SHOP[3:4]),
        ("%", []),
    ],
)
def test_queries_find_what_they_say(shop: Client, query: str, found: list[str]) -> None:
    assert shop.list(query=query) == found[::-1]


def test_finalized_is_having_a_release_time(client: Client) -> None:
    client.create("1.0", release_time=Timestamp(seconds=1_780_000_000))
    client.create("1.1")
    assert client.list(query="finalized:true") == ["1.0"]
    assert client.list(query="finalized:[true,false]") == ["1.1", "1.0"]


@pytest.mark.parametrize(
    "query",
    ["color:red", "release.version:1.a", "release.version:>1.*", "release.build:>x", "release.stage:adopted", '"'],
)
def test_release_row_26_a_bad_query_is_refused(client: Client, query: str) -> None:
    with refused() as found:
        client.list(query=query)
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["query"])


def test_release_row_26_a_stage_needs_exactly_one_environment(features: RegionFeatures, client: Client) -> None:
    for version in ("1.0", "1.1", "1.2", "1.3"):
        client.create(version)
    adopt(features, "1.0", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    adopt(features, "1.1", "2026-02-01T00:00:00Z")
    adopt(features, "1.2", None)
    for environments in ([], ["production", "staging"]):
        with refused() as found:
            client.list(query="release.stage:adopted", environments=environments)
        assert found[0].fields == ["query"]
    for query, versions in (
        ("release.stage:adopted", ["1.1"]),
        ("release.stage:[adopted,replaced]", ["1.1", "1.0"]),
        ("!release.stage:adopted", ["1.2", "1.0"]),
        ("release.stage:low_adoption", ["1.2"]),
    ):
        assert client.list(query=query, environments=["production"]) == versions
        assert client.list(query=query, environments=["production"], project="web") == versions
        assert client.list(query=query, environments=["staging"]) == []


def test_a_query_of_too_many_terms_has_its_own_refusal(client: Client) -> None:
    with refused() as found:
        client.list(query="finalized:true " * 21)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "QUERY_TOO_LARGE")


@pytest.mark.parametrize("order", ["sessions", "crash_free_users", "users_24h", "name"])
def test_release_row_25_other_orders_are_refused(client: Client, order: str) -> None:
    with refused() as found:
        client.list(order_by=order)
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["order_by"])
    assert ("health" in found[0].violations[0][1]) == (order != "name")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", SHOP[::-1]),
        ("date", SHOP[::-1]),
        ("build", [SHOP[3], SHOP[2]]),
        ("semver", [SHOP[5], SHOP[4], SHOP[3], SHOP[2], SHOP[1], SHOP[0], "b", SHOP[6], "a"]),
        ("adoption", [SHOP[1], SHOP[0], *[version for version in SHOP[::-1] if version not in SHOP[:2]]]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 50])
def test_pages_of_every_order_meet_without_gap_or_repeat(
    features: RegionFeatures, order: str, expected: list[str], size: int
) -> None:
    client = features.client
    if order == "semver":
        client.create("a")
    for version in SHOP:
        client.create(version)
    if order == "semver":
        client.create("b")
    if order == "adoption":
        adopt(features, SHOP[0], "2026-01-01T00:00:00Z")
        adopt(features, SHOP[1], "2026-02-01T00:00:00Z")
    assert list(pages(client, size, order_by=order)) == expected


def test_a_page_token_of_another_order_is_refused(shop: Client) -> None:
    page = shop.release.ListReleases(release_pb.ListReleasesRequest(parent="organizations/acme", page_size=1))
    for other in ({"order_by": "semver"}, {"query": "shop"}, {"all_states": True}, {"environments": ["x"]}):
        with refused() as found:
            shop.list(page_token=page.next_page_token, **other)
        assert (found[0].reason, found[0].fields) == ("INVALID_PAGE_TOKEN", ["page_token"])


def test_lists_are_filtered_by_environment_project_time_and_state(features: RegionFeatures, client: Client) -> None:
    features.add_project("api")
    for number, project in enumerate(("web", "api", "web")):
        client.create(f"1.{number}", (project,))
        features.rows(
            "UPDATE release SET date_added = to_timestamp(:at) WHERE version = :version",
            at=1_700_000_000 + number,
            version=f"1.{number}",
        )
    see(features, "production", "1.0", "1.1")
    assert client.list(environments=["production"]) == ["1.1", "1.0"]
    assert client.list(environments=["production", "x"], project="web") == ["1.0"]
    assert client.list(projects=["web", "api"]) == ["1.2", "1.1", "1.0"]
    assert client.list(projects=["api"]) == ["1.1"]
    start, end = Timestamp(seconds=1_700_000_001), Timestamp(seconds=1_700_000_001)
    assert client.list(start_time=start, end_time=end) == ["1.1"]
    assert client.list(start_time=start) == ["1.2", "1.1"]
    client.update("1.2", state=release_pb.Release.STATE_ARCHIVED)
    assert client.list() == ["1.1", "1.0"]
    assert client.list(state=release_pb.Release.STATE_ARCHIVED) == ["1.2"]
    assert client.list(all_states=True) == ["1.2", "1.1", "1.0"]
    with refused() as found:
        client.list(all_states=True, state=release_pb.Release.STATE_OPEN)
    assert found[0].fields == ["all_states"]


def test_latest_is_the_newest_of_each_project_that_the_caller_sees(acme: Acme) -> None:
    client, member = acme.features.client, acme.user(MEMBER)
    for version, project in (("w1", "web"), ("a1", "api"), ("w2", "web"), ("a2", "api")):
        client.create(version, (project,))
    assert client.list(query="release:latest") == ["a2", "w2"]
    assert client.list(query="release:latest", project="web") == ["w2"]
    assert member.list(query="release:latest") == ["w2"]
    see(acme.features, "production", "w1")
    assert client.list(query="release:latest", environments=["production"]) == ["w1"]


def test_a_plain_list_is_one_statement(features: RegionFeatures, shop: Client) -> None:
    shop.list()
    with counted(features.database.engine) as statements:
        assert len(shop.list()) == len(SHOP)
    assert len(statements) <= 2
