"""The client's router: one refusal with a place is followed, once, and what was found is remembered."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import release_service_pb2_grpc as release_rpc

from region_silo.releases.servicer import METHODS
from shared.errors import OrganizationElsewhere, OrganizationNotFound, ServiceError
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from siloway_client.client import RegionClient
from siloway_client.refusal import refusal_of
from siloway_client.router import Place, Router
from siloway_client.targets import Targets

pytestmark = pytest.mark.integration

NOWHERE = "127.0.0.1:1"


@dataclass
class Region(release_rpc.ReleaseServiceServicer):
    """Answers each release by its name, or refuses all with `refusal`; `asked` has the names."""

    refusal: ServiceError | None = None
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def GetRelease(self, request: release_pb.GetReleaseRequest, context: grpc.ServicerContext) -> release_pb.Release:
        self.asked.append(request.name)
        if self.refusal is not None:
            raise self.refusal
        return release_pb.Release(name=request.name, url=self.address)

    CreateRelease = UpdateRelease = ListReleases = ListReleaseCommits = GetRelease  # type: ignore[assignment]

    def sends_to(self, name: str, other: "Region") -> None:
        self.refusal = OrganizationElsewhere(metadata={"region": name, "address": other.address})


@pytest.fixture
def regions() -> Iterator[tuple[Region, Region]]:
    """Two regions, `us` and `de`, behind real doors."""
    with ExitStack() as stack:
        made = (Region(), Region())  # type: ignore[abstract]
        for region in made:
            server = build_server(
                address="127.0.0.1:0",
                table=MethodTable.of(*METHODS),
                door=Door.PUBLIC,
                servicers=[(release_rpc.add_ReleaseServiceServicer_to_server, region)],
                authenticate=lambda _secret: Caller("tokens/1", frozenset({"project:read"})),
            )
            server.start()
            stack.callback(server.stop, 0)
            region.address = f"127.0.0.1:{server.port}"
        yield made


@pytest.fixture
def make_router(regions: tuple[Region, Region]) -> Iterator[Callable[..., Router]]:
    """Routers that begin at `us`; `located` gets what was asked for."""
    with ExitStack() as stack:

        def make(located: list[str] | None = None, **options: Any) -> Router:
            def locate(organization: str) -> Place:
                (located if located is not None else []).append(organization)
                return Place("us", regions[0].address)

            connect = lambda place: RegionClient(place.address, "token")  # noqa: E731
            return stack.enter_context(Router(connect, locate, **options))

        yield make


def get(router: Router, organization: str) -> str:
    request = release_pb.GetReleaseRequest(name=f"organizations/{organization}/releases/1")
    return router.call(organization, lambda client: client.releases.GetRelease(request)).url


def refused(router: Router, organization: str) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        get(router, organization)
    return refusal_of(caught.value).reason


def test_a_call_is_followed_to_the_place_that_the_refusal_names(
    regions: tuple[Region, Region], make_router: Callable[..., Router]
) -> None:
    us, de = regions
    us.sends_to("de", de)
    located: list[str] = []
    router = make_router(located)
    assert get(router, "acme") == get(router, "Acme") == de.address
    assert (len(us.asked), len(de.asked), located) == (1, 2, ["acme"])
    assert router.place_of("ACME") == Place("de", de.address)
    assert router.place_of("globex") is None


def test_a_call_is_followed_once_only(regions: tuple[Region, Region], make_router: Callable[..., Router]) -> None:
    us, de = regions
    us.sends_to("de", de)
    de.sends_to("us", us)
    assert refused(make_router(), "acme") == "ORGANIZATION_ELSEWHERE"
    assert (len(us.asked), len(de.asked)) == (1, 1)


def test_what_has_moved_since_is_found_again(
    regions: tuple[Region, Region], make_router: Callable[..., Router]
) -> None:
    us, de = regions
    router = make_router()
    assert get(router, "acme") == us.address
    us.sends_to("de", de)
    assert get(router, "acme") == get(router, "acme") == de.address


def test_another_refusal_is_the_callers(regions: tuple[Region, Region], make_router: Callable[..., Router]) -> None:
    us, de = regions
    router = make_router()
    us.refusal = OrganizationNotFound(metadata={"region": "de", "address": de.address})
    assert refused(router, "acme") == "ORGANIZATION_NOT_FOUND"
    us.refusal = OrganizationElsewhere(metadata={"region": "de"})
    assert refused(router, "acme") == "ORGANIZATION_ELSEWHERE"
    assert de.asked == []
    assert router.place_of("acme") is None


def test_no_more_is_remembered_than_there_is_room_for(make_router: Callable[..., Router]) -> None:
    located: list[str] = []
    router = make_router(located, remembered_max=2)
    for organization in ("a", "b", "a", "c", "a", "b"):
        get(router, organization)
    assert located == ["a", "b", "c", "b"]


def test_without_control_any_region_is_asked_first(regions: tuple[Region, Region]) -> None:
    us, de = regions
    us.sends_to("de", de)
    targets = Targets(NOWHERE, {"us": us.address}, "token", None, 5.0, None)
    with targets.router(None) as router:
        assert get(router, "acme") == de.address
    with targets.router("us") as router:
        assert get(router, "acme") == de.address
