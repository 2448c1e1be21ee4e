"""Repositories through the public door."""

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import repository_service_pb2 as repository_pb

from tests.integration.releases.refs import ACME, Ref, add_repository, set_refs
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

State = repository_pb.Repository.State
Spec = release_pb.CommitSpec


def get(client: Client, name: str) -> repository_pb.Repository:
    answer: repository_pb.Repository = client.repository.GetRepository(repository_pb.GetRepositoryRequest(name=name))
    return answer


def change(client: Client, name: str, *mask: str, **fields: Any) -> repository_pb.Repository:
    request = repository_pb.UpdateRepositoryRequest(
        repository=repository_pb.Repository(name=name, **fields), request_id=new_id()
    )
    if mask:
        request.update_mask.CopyFrom(FieldMask(paths=mask))
    answer: repository_pb.Repository = client.repository.UpdateRepository(request)
    return answer


def listed(client: Client, **query: Any) -> list[str]:
    request = repository_pb.ListRepositoriesRequest(parent=ACME, **query)
    return [each.display_name for each in client.repository.ListRepositories(request).repositories]


def test_a_repository_is_made_once_for_a_request_and_read_back(features: RegionFeatures, client: Client) -> None:
    request = repository_pb.CreateRepositoryRequest(
        parent=ACME,
        repository=repository_pb.Repository(
            display_name="app",
            url="https://git.example.com/app",
            provider="local-git",
            external_id="7",
            provider_settings={"path": "app"},
        ),
        request_id=new_id(),
    )
    made = client.repository.CreateRepository(request)
    assert client.repository.CreateRepository(request) == made
    assert get(client, made.name) == made
    assert (made.display_name, made.url, made.provider, made.external_id, dict(made.provider_settings)) == (
        "app",
        "https://git.example.com/app",
        "local-git",
        "7",
        {"path": "app"},
    )
    assert (made.state, made.HasField("create_time")) == (State.STATE_ACTIVE, True)
    assert made.name == f"organizations/100/repositories/{features.value('SELECT id FROM repository')}"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"display_name": ""}, "display_name"),
        ({"display_name": " "}, "display_name"),
        ({"display_name": "a\0"}, "display_name"),
        ({"display_name": "x" * 201}, "display_name"),
        ({"url": "ftp://x"}, "url"),
        ({"provider": "a\0"}, "provider"),
        ({"external_id": "x" * 65}, "external_id"),
        ({"provider_settings": {"path": "a\0"}}, 'provider_settings["path"]'),
    ],
)
def test_wrong_fields_are_told_by_name(client: Client, fields: dict[str, Any], field: str) -> None:
    with refused() as found:
        add_repository(client, **{"name": "app"} | {"name" if k == "display_name" else k: v for k, v in fields.items()})
    assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT
    assert found[0].fields == [f"repository.{field}"]


def test_a_name_without_provider_and_an_external_id_are_taken_once(client: Client) -> None:
    add_repository(client, "app")
    with refused() as found:
        add_repository(client, "app")
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.ALREADY_EXISTS, "REPOSITORY_EXISTS")
    assert found[0].metadata["field"] == "display_name"
    add_repository(client, "app", provider="local-git", external_id="1")
    with refused() as found:
        add_repository(client, "other", provider="local-git", external_id="1")
    assert (found[0].reason, found[0].metadata["field"]) == ("REPOSITORY_EXISTS", "external_id")
    hidden = add_repository(client, "late", state=State.STATE_HIDDEN)
    add_repository(client, "late")
    with refused() as found:
        change(client, hidden.name, state=State.STATE_ACTIVE)
    assert found[0].reason == "REPOSITORY_EXISTS"


def test_a_mask_says_what_changes(client: Client) -> None:
    made = add_repository(client, "app", url="https://x.org", provider="local-git", provider_settings={"path": "a"})
    changed = change(client, made.name, display_name="app2")
    assert (changed.display_name, changed.url, changed.provider) == ("app2", "https://x.org", "local-git")
    cleared = change(client, made.name, "url", "provider_settings", display_name="ignored")
    assert (cleared.display_name, cleared.url, dict(cleared.provider_settings)) == ("app2", "", {})
    assert change(client, made.name, "state", state=State.STATE_HIDDEN).state == State.STATE_HIDDEN
    assert change(client, made.name, "*", display_name="app3").provider == ""
    assert get(client, made.name).state == State.STATE_ACTIVE
    with refused() as found:
        change(client, made.name, "name", "url")
    assert (found[0].reason, found[0].fields) == ("INVALID_UPDATE_MASK", ["update_mask.paths[0]"])
    with refused() as found:
        change(client, made.name, "display_name")
    assert found[0].fields == ["repository.display_name"]


def test_a_hidden_repository_is_not_meant_by_refs(client: Client) -> None:
    client.create("1.0")
    made = add_repository(client, "app")
    change(client, made.name, state=State.STATE_HIDDEN)
    with refused() as found:
        set_refs(client, "1.0", Ref(repository="app", commit="a"))
    assert found[0].fields == ["refs.refs[0].repository"]


def test_lists_are_by_name_with_pages_filter_and_state(features: RegionFeatures, client: Client) -> None:
    for name in ("lib", "app", "Zed", "app_two", "b%"):
        add_repository(client, name)
    add_repository(client, "app", provider="local-git")
    add_repository(client, "old", state=State.STATE_HIDDEN)
    features.rows(
        "INSERT INTO repository (organization_id, name, status, date_added) VALUES (100, 'leaving', 2, :now)",
        now=features.clock.now(),
    )
    everything = ["Zed", "app", "app", "app_two", "b%", "lib"]
    assert listed(client) == everything
    assert listed(client, state=State.STATE_HIDDEN) == ["old"]
    assert listed(client, query="APP") == ["app", "app", "app_two"]
    assert listed(client, query="%") == ["b%"]
    shown, token = [], ""
    while True:
        request = repository_pb.ListRepositoriesRequest(parent=ACME, page_size=1, page_token=token)
        answer = client.repository.ListRepositories(request)
        shown += [each.display_name for each in answer.repositories]
        token = answer.next_page_token
        if not token:
            break
    assert shown == everything
    gone = features.value("SELECT id FROM repository WHERE name = 'leaving'")
    for name in (f"organizations/100/repositories/{gone}", "organizations/acme/repositories/999"):
        with refused() as found:
            get(client, name)
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "REPOSITORY_NOT_FOUND")


def test_a_page_of_long_settings_ends_early(client: Client) -> None:
    for number in range(80):
        settings = {f"key{n}": "v" * 1024 for n in range(16)}
        add_repository(client, f"r{number:02}", provider_settings=settings)
    shown, token, pages = [], "", 0
    while pages == 0 or token:
        answer = client.repository.ListRepositories(
            repository_pb.ListRepositoriesRequest(parent=ACME, page_size=1000, page_token=token)
        )
        shown += [each.display_name for each in answer.repositories]
        token, pages = answer.next_page_token, pages + 1
    assert shown == [f"r{number:02}" for number in range(80)]
    assert pages == 2


def test_commits_of_a_repository_are_listed_newest_first(client: Client) -> None:
    client.create("1.0")
    made = add_repository(client, "app")
    add_repository(client, "lib")
    client.update(
        "1.0", commits=[Spec(id="b", repository="app", message="m" * 60_000, author_email="a@x.org", author_name="Ann")]
    )
    for n in range(24):
        client.update("1.0", commits=[Spec(id=f"c{n:02}", repository="app", message="m" * 60_000)])
    client.update("1.0", commits=[Spec(id="x", repository="lib")])

    def pages(size: int) -> list[str]:
        shown, token = [], ""
        while True:
            answer = client.repository.ListRepositoryCommits(
                repository_pb.ListRepositoryCommitsRequest(parent=made.name, page_size=size, page_token=token)
            )
            assert answer.commits
            shown += [commit.id for commit in answer.commits]
            token = answer.next_page_token
            if not token:
                assert answer.commits[-1].author_name == "Ann"
                return shown

    wanted = [f"c{n:02}" for n in reversed(range(24))] + ["b"]
    # The limit of bytes cuts a page before, at and after its last commit.
    for size in (1, 5, *range(15, 21), 1000):
        assert pages(size) == wanted
    with refused() as found:
        client.repository.ListRepositoryCommits(
            repository_pb.ListRepositoryCommitsRequest(parent="organizations/acme/repositories/999")
        )
    assert found[0].reason == "REPOSITORY_NOT_FOUND"


def test_scopes_and_organizations_are_kept_apart(features: RegionFeatures, client: Client) -> None:
    made = add_repository(client, "app")
    features.add_organization(200, "other")
    for secret in ("reader", "ci"):
        with refused() as found:
            add_repository(features.client_of(secret), "mine")
        assert found[0].reason == "SCOPE_MISSING"
        assert get(features.client_of(secret), made.name) == made
    with refused() as found:
        get(client, made.name.replace("/100/", "/200/"))
    assert found[0].reason == "REPOSITORY_NOT_FOUND"
    with refused() as found:
        change(client, made.name.replace("/100/", "/other/"), url="https://x.org")
    assert found[0].reason == "REPOSITORY_NOT_FOUND"
    with refused() as found:
        get(features.user(5), made.name)
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"
