"""Projects through the public door. Numbers: the acceptance cases and the error table's rows."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from siloway.region.v1 import project_service_pb2 as project_pb

from shared.slugs import PROJECT_RESERVED
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures
from tests.statements import counted

pytestmark = pytest.mark.integration


def create(
    client: Client, name: str, slug: str = "", *, request_id: str = "", parent: str = "acme", platform: str = ""
) -> project_pb.Project:
    project = project_pb.Project(display_name=name, slug=slug, platform=platform)
    answer: project_pb.Project = client.project.CreateProject(
        project_pb.CreateProjectRequest(
            parent=f"organizations/{parent}", project=project, request_id=request_id or new_id()
        )
    )
    return answer


def get(client: Client, key: str, organization: str = "acme") -> project_pb.Project:
    answer: project_pb.Project = client.project.GetProject(
        project_pb.GetProjectRequest(name=f"organizations/{organization}/projects/{key}")
    )
    return answer


def test_a_project_is_made_with_a_snowflake_a_slug_of_its_name_and_one_key(
    features: RegionFeatures, client: Client
) -> None:
    made = create(client, "My Shop", platform="python")
    assert (made.slug, made.display_name, made.platform) == ("my-shop", "My Shop", "python")
    assert made.name == f"organizations/100/projects/{made.uid}"
    assert len(made.uid) == 16
    assert get(client, "my-shop") == get(client, made.uid, "100") == made
    keys = features.rows("SELECT public_key, secret_key FROM project_key WHERE project_id = :id", id=int(made.uid))
    assert len(keys) == 1
    assert all(len(bytes.fromhex(half)) == 16 for half in keys[0])


def test_release_case_50_a_reserved_name_gets_another_slug(client: Client) -> None:
    assert create(client, "Settings").slug not in PROJECT_RESERVED


def test_release_case_50_equal_names_get_slugs_of_their_own(client: Client) -> None:
    name = "A very long name of a project that does not fit into fifty characters"
    slugs = [create(client, name).slug for _ in range(4)]
    assert len(set(slugs)) == 4
    assert all(len(slug) <= 50 for slug in slugs)


def test_release_case_50_equal_names_at_once_get_slugs_of_their_own(features: RegionFeatures) -> None:
    count = 8
    barrier = threading.Barrier(count)

    def make(_index: int) -> str:
        client = features.client_of("all")
        barrier.wait(20)
        return create(client, "Shop").slug

    with ThreadPoolExecutor(count) as pool:
        slugs = list(pool.map(make, range(count)))
    assert len(set(slugs)) == count
    assert "shop" in slugs


@pytest.mark.parametrize("name", ["2024", "日本", "!!"])
def test_a_name_without_letters_gets_a_slug_that_is_no_id(client: Client, name: str) -> None:
    slug = create(client, name).slug
    assert not slug.isdigit()
    assert get(client, slug).display_name == name


def test_release_row_33_case_09_a_given_slug_that_is_taken_is_refused_at_the_first_try(
    features: RegionFeatures, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    take = features.ids.take

    def counted(count: int) -> list[int]:
        taken.append(count)
        return take(count)

    monkeypatch.setattr(features.ids, "take", counted)
    with refused() as found:
        create(client, "Other", "web")
    assert taken == [1]
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS")
    assert found[0].resource == ("siloway/Project", "organizations/100/projects/web")
    assert found[0].metadata == {"slug": "web"}
    features.add_organization(200, "globex")
    assert create(client, "Other", "web", parent="globex").slug == "web"


@pytest.mark.parametrize("slug", ["settings", "123", "Upper", "a b", "x" * 51])
def test_release_row_33_a_slug_that_is_reserved_or_malformed_is_refused(client: Client, slug: str) -> None:
    with refused() as found:
        create(client, "Other", slug)
    assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT
    assert found[0].fields == ["project.slug"]


@pytest.mark.parametrize("name", ["", " ", "a\0b", "x" * 201])
def test_a_name_that_is_blank_too_long_or_cannot_be_stored_is_refused(client: Client, name: str) -> None:
    with refused() as found:
        create(client, name)
    assert found[0].fields == ["project.display_name"]


def test_a_repeat_gets_the_first_answer_and_makes_no_second_project(features: RegionFeatures, client: Client) -> None:
    request_id = new_id()
    first = create(client, "Shop", request_id=request_id)
    assert create(client, "Shop", request_id=request_id, parent="100") == first
    assert features.value("SELECT count(*) FROM project WHERE name = 'Shop'") == 1
    with refused() as found:
        create(client, "Other", request_id=request_id)
    assert found[0].reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("request_id", ["", "x", "0" * 36])
def test_a_request_id_that_is_no_uuid_is_refused(client: Client, request_id: str) -> None:
    project = project_pb.Project(display_name="Shop")
    with refused() as found:
        client.project.CreateProject(
            project_pb.CreateProjectRequest(parent="organizations/acme", project=project, request_id=request_id)
        )
    assert found[0].fields == ["request_id"]


def test_a_used_id_is_replaced_by_a_new_one(features: RegionFeatures, client: Client) -> None:
    taken, free = features.ids.take(2)
    given = iter([[taken], [free]])
    features.rows(
        """
        INSERT INTO project (id, organization_id, slug, name, status, flags, public, date_added)
        VALUES (:id, 100, 'holder', 'holder', 0, 0, false, :now)
        """,
        id=taken,
        now=features.clock.now(),
    )
    real_take = features.ids.take
    features.ids.take = lambda _count=1: next(given)  # type: ignore[method-assign,assignment]
    try:
        assert create(client, "Shop").uid == str(free)
    finally:
        features.ids.take = real_take  # type: ignore[method-assign]


def test_an_unknown_project_is_not_found(features: RegionFeatures, client: Client) -> None:
    features.add_organization(200, "globex")
    elsewhere = features.add_project("only-there", "organizations/200")
    for key in ("nothing", "12345", str(elsewhere), "only-there"):
        with refused() as found:
            get(client, key)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")
        assert found[0].resource == ("siloway/Project", f"organizations/100/projects/{key}")


def test_nothing_is_made_in_an_organization_that_is_being_imported(features: RegionFeatures, client: Client) -> None:
    features.add_organization(200, None, state=0)
    with refused() as found:
        create(client, "Shop", parent="200")
    assert found[0].reason == "ORGANIZATION_IMPORTING"
    assert features.value("SELECT count(*) FROM project WHERE organization_id = 200") == 0


def test_nothing_is_made_in_the_organization_of_others(features: RegionFeatures) -> None:
    features.add_organization(200, "globex")
    with refused() as found:
        create(features.client_of("bound"), "Shop", parent="globex")
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"
    assert create(features.client_of("bound"), "Shop").slug == "shop"


def test_pages_of_projects_are_in_the_order_of_ids(features: RegionFeatures, client: Client) -> None:
    for number in range(5):
        create(client, f"Shop {number}")
    expected = [str(row[0]) for row in features.rows("SELECT id FROM project ORDER BY id")]
    found, token = [], ""
    while True:
        page = client.project.ListProjects(
            project_pb.ListProjectsRequest(parent="organizations/acme", page_size=4, page_token=token)
        )
        found += [project.uid for project in page.projects]
        token = page.next_page_token
        if not token:
            break
    assert found == expected


def test_a_project_that_is_known_is_read_without_a_statement(features: RegionFeatures, client: Client) -> None:
    get(client, "web")  # learns whose slug it is
    get(client, "web")  # and the project
    with counted(features.database.engine) as statements:
        assert get(client, "web").slug == "web"
    # At most the look whether the cache may be used, once a second.
    assert [statement for statement in statements if "model_cache_gate" not in statement] == []


def test_release_case_49_a_changed_project_is_seen_at_once(features: RegionFeatures, client: Client) -> None:
    project_id = int(get(client, "web").uid)
    with features.project_cache.changing(project_id):
        features.rows("UPDATE project SET slug = 'shop', name = 'Shop' WHERE id = :id", id=project_id)
    assert get(client, "shop").display_name == get(client, str(project_id)).display_name == "Shop"
    with refused() as found:
        get(client, "web")
    assert found[0].reason == "PROJECT_NOT_FOUND"
