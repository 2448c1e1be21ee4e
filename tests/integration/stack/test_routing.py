"""A client that asks the wrong region is told the right one, and the command goes there by itself."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from control_silo.tokens.command import mint_token
from shared.tokens import hash_secret
from siloway_client.client import RegionClient
from siloway_client.export_file import write_export
from siloway_client.refusal import Refusal, refusal_of
from siloway_client.router import Place, Router
from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def theirs(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An organization of `de`: its id and slug."""
    file: Path = tmp_path_factory.mktemp("routing") / "export.json"
    slug = f"routed-{uuid.uuid4().hex[:8]}"
    write_export(file, objects=50, seed=31, organization_slug=slug)
    run = _document(stack, "import", "organizations", str(file), "--region", "de", "--json")
    (made,) = run["organizations"]
    return made["organization"].removeprefix("organizations/"), made["slug"]


@pytest.fixture
def de_address(stack: RunningStack) -> str:
    return str(stack.describe["regions"]["de"]["public_address"])


@pytest.fixture
def router(stack: RunningStack) -> Iterator[Router]:
    """Starts at `us` with everything, and knows no address but those that it is told."""
    us = Place("us", stack.describe["regions"]["us"]["public_address"])
    with Router(lambda place: RegionClient(place.address, stack.token), lambda _organization: us) as router:
        yield router


def test_the_wrong_region_refuses_with_region_and_address(
    stack: RunningStack, theirs: tuple[str, str], de_address: str
) -> None:
    with stack.region("us") as us:
        for key in (theirs[0], theirs[1], theirs[1].upper()):
            refusal = _refused(us, key)
            assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "ORGANIZATION_ELSEWHERE")
            assert refusal.metadata == {"region": "de", "address": de_address}
        assert _refused(us, f"{theirs[1]}-not").reason == "ORGANIZATION_NOT_FOUND"
    with stack.region("de") as de:
        assert de.projects.ListProjects(project_pb.ListProjectsRequest(parent=f"organizations/{theirs[0]}"))


def test_members_and_teams_are_found_in_their_region(stack: RunningStack, theirs: tuple[str, str]) -> None:
    made = _document(stack, "teams", "create", theirs[1], "Night Shift", "--json")
    listed = _document(stack, "teams", "list", theirs[0], "--region", "us", "--json")
    assert made["uid"] in [team["uid"] for team in listed]
    assert stack.command("members", "list", theirs[1]).returncode == 0


def test_a_token_of_another_organization_is_not_told_where_it_is(stack: RunningStack, theirs: tuple[str, str]) -> None:
    secret = _minted(stack, organization="6755399441055744")
    with stack.region("us", secret) as us:
        for key in theirs:
            assert _refused(us, key).reason == "ORGANIZATION_NOT_FOUND"
    # There is no such organization: doctor would wonder at the token.
    token_id = stack.value("control", "SELECT id FROM token WHERE organization_id = 6755399441055744")
    assert stack.command("tokens", "revoke", str(token_id)).returncode == 0


def test_the_router_follows_writes_once_and_remembers(router: Router, theirs: tuple[str, str], de_address: str) -> None:
    organization, slug = theirs
    request = project_pb.CreateProjectRequest(
        parent=f"organizations/{slug}",
        project=project_pb.Project(display_name="Routed"),
        request_id=str(uuid.uuid4()),
    )
    called: list[str] = []

    def create(client: RegionClient) -> project_pb.Project:
        called.append(client.address)
        answer: project_pb.Project = client.projects.CreateProject(request)
        return answer

    first = router.call(slug, create)
    assert first.name.startswith(f"organizations/{organization}/projects/")
    assert router.call(slug.upper(), create) == first
    assert len(called) == 3
    assert called[1:] == [de_address] * 2
    assert router.place_of(slug) == Place("de", de_address)


def test_the_command_finds_the_region_with_a_wrong_guess_or_none(stack: RunningStack, theirs: tuple[str, str]) -> None:
    organization, slug = theirs
    project = _document(stack, "project", "create", slug, "Command", "--region", "us", "--json")
    assert project["name"].startswith(f"organizations/{organization}/")
    made = _document(stack, "release", "create", organization, "shop@1", "-p", project["slug"], "--json")
    assert made["release"]["version"] == "shop@1"
    # A token that may not ask control where the organization is.
    secret = _minted(stack)
    listed = _document(
        stack,
        "--control",
        stack.describe["control"]["public_address"],
        "--token",
        secret,
        "release",
        "list",
        slug,
        "--json",
    )
    assert [release["version"] for release in listed] == ["shop@1"]


def test_while_control_is_down_ids_lead_on_and_slugs_of_others_are_not_found(
    stack: RunningStack, theirs: tuple[str, str], de_address: str
) -> None:
    organization, slug = theirs
    with stack.restarts_held():
        stack.kill("control", "serve")
        with stack.region("us") as us:
            assert _refused(us, organization).metadata == {"region": "de", "address": de_address}
            # What control said before is good for some seconds.
            wait_until(
                lambda: _refused(us, slug).reason == "ORGANIZATION_NOT_FOUND",
                "an answer of control's was kept too long",
            )
        done = stack.command("project", "list", organization)
        assert (done.returncode, done.stderr) == (0, "")
    wait_until(
        lambda: stack.command("regions", "list").returncode == 0,
        "control did not come back",
    )
    with stack.region("us") as us:
        wait_until(
            lambda: _refused(us, slug).reason == "ORGANIZATION_ELSEWHERE", "the region never asked control again"
        )


def test_regions_are_listed_drained_and_undrained(stack: RunningStack) -> None:
    assert [region["name"] for region in _document(stack, "regions", "list", "--json")] == ["regions/de", "regions/us"]
    assert _document(stack, "regions", "drain", "de", "--json")["state"] == "STATE_DRAINING"
    try:
        assert "de: draining, number 2" in stack.command("regions", "get", "de").stdout
        assert "draining" in stack.command("regions", "list").stdout
    finally:
        undrained = _document(stack, "regions", "undrain", "de", "--json")
    assert undrained["state"] == "STATE_ACTIVE"
    refused = stack.command("regions", "drain", "fr")
    assert (refused.returncode, refused.stderr.split(":")[1]) == (1, " REGION_NOT_FOUND")


def _refused(client: RegionClient, key: str) -> Refusal:
    with pytest.raises(grpc.RpcError) as caught:
        client.releases.GetRelease(release_pb.GetReleaseRequest(name=f"organizations/{key}/releases/1"))
    return refusal_of(caught.value)


def _minted(stack: RunningStack, *, organization: str | None = None) -> str:
    """A token that may only read projects, known to both regions."""
    url = stack.database_url("control")
    secret = mint_token(url, name="routing", scopes=["project:read"], organization=organization)
    known = "SELECT count(*) FROM token WHERE secret_hash = %s"
    wait_until(
        lambda: all(stack.value(region, known, hash_secret(secret)) for region in stack.describe["regions"]),
        "the regions never heard of the token",
    )
    return secret


def _document(stack: RunningStack, *arguments: str) -> Any:
    done = stack.command(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
