"""Making and reading releases through the public door. Numbers: the acceptance cases and the error table's rows."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from shared import errors
from tests.refusals import refusal_of, refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures, opened
from tests.statements import counted

pytestmark = pytest.mark.integration

RELEASED = Timestamp(seconds=1_780_000_000)
ACTIVITIES = "SELECT project_id, ident, data ->> 'version', datetime FROM activity WHERE type = 10 ORDER BY project_id"


def test_release_case_01_a_new_release_is_open_linked_and_flags_its_project(
    features: RegionFeatures, client: Client
) -> None:
    created = client.create("1.0", ref="main", url="https://example.com/1.0")
    release = created.release
    project_id = features.value("SELECT id FROM project WHERE slug = 'web'")
    assert not created.already_existed
    assert release.name == "organizations/100/releases/1.0"
    assert release.state == release_pb.Release.STATE_OPEN
    assert list(release.projects) == [f"organizations/100/projects/{project_id}"]
    assert (release.ref, release.url, release.commit_count) == ("main", "https://example.com/1.0", 0)
    assert not release.HasField("release_time")
    assert not release.HasField("last_commit")
    assert features.value("SELECT flags FROM project WHERE id = :id", id=project_id) == 1
    assert features.value("SELECT user_agent FROM release").startswith("grpc-python")
    assert client.get("1.0") == release


def test_release_case_02_the_same_again_makes_no_second_row_and_no_second_activity(
    features: RegionFeatures, client: Client
) -> None:
    first = client.create("1.0", release_time=RELEASED)
    second = client.create("1.0", release_time=RELEASED, ref="ignored")
    assert second.already_existed
    assert second.release == first.release
    assert features.value("SELECT count(*) FROM release") == 1
    assert len(features.rows(ACTIVITIES)) == 1


def test_release_case_03_another_project_is_attached_to_an_existing_release(
    features: RegionFeatures, client: Client
) -> None:
    features.add_project("api")
    first = client.create("1.0", release_time=RELEASED)
    second = client.create("1.0", ("api", "web"))
    assert not second.already_existed
    assert len(second.release.projects) == 2
    assert second.release.etag != first.release.etag
    assert len(features.rows(ACTIVITIES)) == 2


@pytest.mark.parametrize(
    "version", ["latest", "LATEST", ".", "..", "", "  ", "a\rb", "a\nb", "a\tb", "a\fb", "a/b", "a\\b"]
)
def test_release_case_04_row_07_a_bad_version_is_refused(client: Client, version: str) -> None:
    with refused() as found:
        client.create(version)
    assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(found[0].fields) == {"release.version"}


def test_release_row_07_each_broken_rule_is_one_violation(client: Client) -> None:
    with refused() as found:
        client.create("a/b\\c\n")
    assert found[0].fields == ["release.version"] * 3
    assert found[0].reason == "INVALID_FIELD"


def test_release_case_05_the_limits_of_version_and_ref(client: Client) -> None:
    assert client.create("v" * 200, ref="r" * 200).release.ref == "r" * 200
    for version, ref in (("v" * 201, ""), ("1.0", "r" * 201)):
        with refused() as found:
            client.create(version, ref=ref)
        assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT
        assert found[0].fields[0] == ("release.ref" if ref else "release.version")


def test_release_row_08_a_text_that_is_no_address_is_refused(client: Client) -> None:
    for url in ("example.com", "ftp://a", "https://" + "a" * 200):
        with refused() as found:
            client.create("1.0", url=url)
        assert found[0].fields == ["release.url"]
    with refused() as found:
        client.create("1.0", release_time=Timestamp(seconds=10**15))
    assert found[0].fields == ["release.release_time"]


def test_release_case_06_semver_columns_and_version_info(features: RegionFeatures, client: Client) -> None:
    info = client.create("pkg@1.0rc1+20200101100").release.version_info
    assert (info.package, info.major, info.minor, info.patch, info.revision) == ("pkg", 1, 0, 0, 0)
    assert (info.prerelease, info.build_code) == ("rc1", "20200101100")
    assert features.value("SELECT build_number FROM release") == 20200101100


@pytest.mark.parametrize("build", ["whatever", "-2020", "9" * 20])
def test_release_case_07_a_build_that_is_no_number_keeps_its_code(
    features: RegionFeatures, client: Client, build: str
) -> None:
    client.create(f"pkg@1.0+{build}")
    assert features.rows("SELECT build_code, build_number FROM release") == [(build, None)]


def test_release_case_08_a_number_beyond_64_bits_leaves_the_columns_empty(
    features: RegionFeatures, client: Client
) -> None:
    release = client.create(f"pkg@{2**63}.0").release
    assert not release.HasField("version_info")
    assert features.rows("SELECT package, major, prerelease, build_code FROM release") == [(None, None, None, None)]


def test_release_case_09_a_version_without_numbers_is_a_release(client: Client) -> None:
    assert client.create("hello world").release.version == "hello world"
    assert not client.get("hello world").HasField("version_info")


def test_release_case_10_22_one_activity_a_project_with_a_short_ident(features: RegionFeatures, client: Client) -> None:
    ids = sorted([features.add_project("api"), features.value("SELECT id FROM project WHERE slug = 'web'")])
    version = "v" * 65
    client.create(version, ("web", "api"), release_time=RELEASED)
    released = RELEASED.ToDatetime()
    found = [(row[0], row[1], row[2], row[3].replace(tzinfo=None)) for row in features.rows(ACTIVITIES)]
    assert found == [(project_id, "v" * 64, version, released) for project_id in ids]


def test_release_row_01_an_unknown_release_is_not_found_with_its_name(client: Client) -> None:
    with refused() as found:
        client.get("9.9")
    assert found[0].code is grpc.StatusCode.NOT_FOUND
    assert found[0].reason == "RELEASE_NOT_FOUND"
    assert found[0].resource == ("siloway/Release", "organizations/100/releases/9.9")


def test_release_row_02_04_an_organization_of_others_looks_like_an_unknown_one(features: RegionFeatures) -> None:
    features.add_organization(200, "globex")
    bound = features.client_of("bound")
    answers = []
    for organization in ("globex", "nobody", "200", "201"):
        with refused() as found:
            bound.get("1.0", organization)
        answer = found[0]
        assert answer.resource == ("siloway/Organization", f"organizations/{organization}")
        answer.resource = None
        answers.append(answer)
    assert answers.count(answers[0]) == len(answers)
    assert (answers[0].code, answers[0].reason) == (grpc.StatusCode.NOT_FOUND, "ORGANIZATION_NOT_FOUND")


def test_release_row_03_a_filter_by_an_unknown_project_is_not_found(features: RegionFeatures, client: Client) -> None:
    features.add_organization(200, "globex")
    elsewhere = features.add_project("web", "organizations/200")
    for project in ("nothing", str(elsewhere), "7" * 30):
        with refused() as found:
            client.list(project=project)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")


def test_release_row_05_bad_credentials_are_refused(features: RegionFeatures) -> None:
    with refused() as found:
        features.client_of("unknown").get("1.0")
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


@pytest.mark.parametrize("token", ["reader", "nothing"])
def test_release_row_06_a_missing_scope_is_named(features: RegionFeatures, token: str) -> None:
    client = features.client_of(token)
    for call in (lambda: client.create("1.0"), lambda: client.update("1.0", ref="x")):
        with refused() as found:
            call()
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
        assert "org:ci" in found[0].metadata["scope"]
    assert features.value("SELECT count(*) FROM release") == 0


def test_a_writer_may_read_and_a_reader_may_read(features: RegionFeatures) -> None:
    made = features.client_of("ci").create("1.0").release
    assert features.client_of("ci").get("1.0") == features.client_of("reader").get("1.0") == made


def test_release_row_09_an_unknown_state_is_refused(client: Client) -> None:
    with refused() as found:
        client.create("1.0", state=7)
    assert found[0].fields == ["release.state"]


def test_release_row_20_unknown_projects_are_named_by_index_and_nothing_is_written(
    features: RegionFeatures, client: Client
) -> None:
    features.add_organization(200, "globex")
    elsewhere = features.add_project("web", "organizations/200")
    for projects in (("web", "nothing", str(elsewhere)), ("web", "web", "12345")):
        with refused() as found:
            client.create("1.0", projects)
        assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT
        assert found[0].fields == [f"projects[{index}]" for index, project in enumerate(projects) if project != "web"]
    assert features.value("SELECT count(*) FROM release") == 0
    assert features.value("SELECT sum(flags) FROM project") == 0


def test_release_row_22_a_link_of_a_known_project_by_id_and_slug_is_one(
    features: RegionFeatures, client: Client
) -> None:
    project_id = features.value("SELECT id FROM project")
    assert len(client.create("1.0", ("web", str(project_id))).release.projects) == 1
    assert client.create("1.0", (str(project_id),)).already_existed


def test_a_release_of_an_organization_that_is_being_imported_is_refused(features: RegionFeatures) -> None:
    features.rows("UPDATE organization SET state = 0 WHERE id = 100")
    with refused() as found:
        features.client.create("1.0")
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ORGANIZATION_IMPORTING")


def test_a_write_is_not_decided_from_the_cache(features: RegionFeatures, client: Client) -> None:
    client.create("1.0")
    features.rows("UPDATE organization SET state = 0 WHERE id = 100")
    assert client.get("1.0").version == "1.0"
    with refused() as found:
        client.update("1.0", ref="x")
    assert found[0].reason == "ORGANIZATION_IMPORTING"


def test_concurrent_creates_of_one_version_make_one_row_and_one_activity(features: RegionFeatures) -> None:
    count = 8
    barrier = threading.Barrier(count)

    def create(_index: int) -> release_pb.CreateReleaseResponse:
        client = features.client_of("all")
        barrier.wait(20)
        return client.create("1.0", release_time=RELEASED)

    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(create, range(count)))
    assert [answer.already_existed for answer in answers].count(False) == 1
    assert len({answer.release.uid for answer in answers}) == 1
    assert features.value("SELECT count(*) FROM release") == 1
    assert len(features.rows(ACTIVITIES)) == 1


def test_a_repeat_with_the_same_request_id_gets_the_first_answer(features: RegionFeatures, client: Client) -> None:
    request_id = new_id()
    first = client.create("pkg@1.0", request_id=request_id, release_time=RELEASED)
    client.update("pkg@1.0", ref="moved on")
    again = client.create("pkg@1.0", parent="organizations/100", request_id=request_id, release_time=RELEASED)
    assert again == first
    assert not again.already_existed
    with refused() as found:
        client.create("pkg@1.1", request_id=request_id)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert features.client_of("other").create("pkg@1.1", request_id=request_id).release.version == "pkg@1.1"


def test_a_release_is_read_in_three_statements_and_in_fewer_from_the_cache(
    features: RegionFeatures, client: Client
) -> None:
    made = client.create("1.0", release_time=RELEASED).release
    commits = [release_pb.CommitSpec(id="a", author_email="a@x.org"), release_pb.CommitSpec(id="b", repository="r")]
    client.update("1.0", commits=commits)
    assert features.link is not None
    features.organization_cache.invalidate(100)
    with counted(features.database.engine) as statements:
        cold = client.get("1.0")
    assert len(statements) <= 3
    client.get("1.0")
    client.get("1.0", "100")
    with counted(features.database.engine) as statements:
        warm = client.get("1.0", "100")
    assert len(statements) <= 2
    assert warm == cold
    assert warm.uid == made.uid
    assert len(warm.heads) == 2


def test_release_row_35_everything_works_without_redis(region_database_url: str) -> None:
    with opened(region_database_url, None) as features:
        made = features.client.create("1.0").release
        assert features.client.get("1.0") == made


def test_outer_blanks_make_another_version(client: Client) -> None:
    first, second = client.create("1.0").release, client.create(" 1.0 ").release
    assert first.uid != second.uid
    assert client.get(" 1.0 ").uid == second.uid


def test_a_list_is_newest_first_and_pages_meet_without_gap_or_repeat(features: RegionFeatures, client: Client) -> None:
    versions = [f"1.{number}" for number in range(7)]
    for version in versions:
        client.create(version)
    # Equal times: the id decides.
    features.rows("UPDATE release SET date_added = '2026-01-01T00:00:00Z' WHERE version <> '1.6'")
    ids = dict(features.rows("SELECT version, id FROM release"))
    expected = ["1.6", *sorted(versions[:6], key=lambda version: -ids[version])]
    assert client.list() == expected
    found, token = [], ""
    while True:
        page = client.release.ListReleases(
            release_pb.ListReleasesRequest(parent="organizations/acme", page_size=3, page_token=token)
        )
        found += [release.version for release in page.releases]
        token = page.next_page_token
        if not token:
            break
    assert found == expected


def test_a_page_token_of_another_query_is_refused(client: Client) -> None:
    for version in ("1.0", "1.1"):
        client.create(version)
    page = client.release.ListReleases(release_pb.ListReleasesRequest(parent="organizations/acme", page_size=1))
    with refused() as found:
        client.list(page_token=page.next_page_token, query="1")
    assert found[0].reason == "INVALID_PAGE_TOKEN"
    assert found[0].fields == ["page_token"]


def test_a_list_is_filtered_by_project_and_text(features: RegionFeatures, client: Client) -> None:
    api = features.add_project("api")
    client.create("Web-100%")
    client.create("api_1", ("api",))
    client.create("both-1", ("api", "web"))
    assert client.list(project="api") == client.list(project=str(api)) == ["both-1", "api_1"]
    assert client.list(query="WEB") == ["Web-100%"]
    assert client.list(query="%") == ["Web-100%"]
    assert client.list(query="_") == ["api_1"]
    assert client.list(project="web", query="1") == ["both-1", "Web-100%"]


def test_release_row_19_a_used_id_is_replaced_by_a_new_one(features: RegionFeatures, client: Client) -> None:
    taken = int(client.create("1.0").release.uid)
    (free,) = features.ids.take(1)
    given = iter([[taken], [free]])
    real_take = features.ids.take
    features.ids.take = lambda _count=1: next(given)  # type: ignore[method-assign,assignment]
    try:
        assert client.create("1.1").release.uid == str(free)
    finally:
        features.ids.take = real_take  # type: ignore[method-assign]
    assert client.list() == ["1.1", "1.0"]


def test_a_release_is_read_by_an_id_in_one_statement_and_not_while_its_organization_is_purged(
    features: RegionFeatures, client: Client
) -> None:
    made = client.create("1.0").release
    with counted(features.database.engine) as statements:
        assert client.get("1.0", "100") == made
    assert len(statements) == 1
    with refused() as found:
        features.client_of("bound").get("1.0", "200")
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"
    with features.organization_cache.changing(100):
        features.rows("UPDATE organization SET deletion = 2 WHERE id = 100")
    for organization in ("100", "acme"):
        with refused() as found:
            client.get("1.0", organization)
        assert found[0].reason == "ORGANIZATION_NOT_FOUND"


def test_release_row_32_when_the_ids_are_used_up_a_new_release_waits(features: RegionFeatures) -> None:
    def taken(count: int) -> bool:
        try:
            return bool(features.ids.take(count))
        except errors.IdsExhausted:
            return False

    for attempt in range(20):  # the next second has new ids: it may begin between the two
        for count in (10_000, 100, 1):
            while taken(count):
                pass
        try:
            features.client.create(f"1.{attempt}")
        except grpc.RpcError as error:
            told = refusal_of(error)
            break
    else:
        pytest.fail("there were always ids")
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "IDS_EXHAUSTED")
    assert told.retry_after_s
