"""Control's public door with real tokens: who gets in, organizations by id and slug, reservations, regions, pages."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from siloway.control.v1 import organization_service_pb2 as organization_pb
from siloway.control.v1 import organization_service_pb2_grpc as organization_rpc
from siloway.control.v1 import region_service_pb2 as region_pb
from siloway.control.v1 import region_service_pb2_grpc as region_rpc
from siloway.control.v1 import slug_reservation_service_pb2 as slug_pb
from siloway.control.v1 import slug_reservation_service_pb2_grpc as slug_rpc

from control_silo.changes.waiting import ChangeWaiter
from control_silo.organizations import servicer as organizations
from control_silo.regions import servicer as regions
from control_silo.slugs import servicer as slugs
from control_silo.tokens import usecases
from control_silo.tokens.domain import NewToken
from region_silo.tokens.usecases import authenticator as region_authenticator
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from shared.snowflake.allocator import SnowflakeAllocator
from shared.tokens import new_secret
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, add_organizations, organization_ids
from tests.refusals import Refusal, refusal_of

pytestmark = pytest.mark.integration

TABLE = MethodTable.of(*organizations.METHODS, *slugs.METHODS, *regions.METHODS)


class Client:
    """The services of control, called with one token."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.secret = ""
        self.organizations = organization_rpc.OrganizationServiceStub(channel)
        self.slugs = slug_rpc.SlugReservationServiceStub(channel)
        self.regions = region_rpc.RegionServiceStub(channel)

    def call(self, method: Callable[..., Any], request: object) -> Any:
        return method(request, timeout=10, metadata=(("authorization", f"Bearer {self.secret}"),))

    def refused(self, method: Callable[..., Any], request: object) -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request)
        return refusal_of(caught.value)


@contextmanager
def door(silos: Silos, authenticate: Callable[[str], Caller]) -> Iterator[Client]:
    with ExitStack() as stack:
        waiter = ChangeWaiter(silos.control, silos.control_url)
        stack.callback(waiter.close)
        server = build_server(
            address="127.0.0.1:0",
            table=TABLE,
            door=Door.PUBLIC,
            servicers=[
                (
                    organization_rpc.add_OrganizationServiceServicer_to_server,
                    organizations.OrganizationServicer(silos.control, waiter),
                ),
                (slug_rpc.add_SlugReservationServiceServicer_to_server, slugs.SlugReservationServicer(silos.control)),
                (region_rpc.add_RegionServiceServicer_to_server, regions.RegionServicer(silos.control)),
            ],
            authenticate=authenticate,
        )
        server.start()
        stack.callback(server.stop, 0)
        yield Client(stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}")))


@pytest.fixture
def client(silos: Silos) -> Iterator[Client]:
    with door(silos, usecases.authenticator(silos.control, silos.clock)) as client:
        client.secret = minted(silos)
        yield client


def minted(silos: Silos, **given: object) -> str:
    fields: dict[str, object] = {"name": "ci", "audience": ("*",), "scopes": ("org:read",), **given}
    allocator = SnowflakeAllocator(silos.control, clock=silos.clock, number=0)
    new = NewToken(**fields)  # type: ignore[arg-type]
    return usecases.mint_token(silos.control, allocator, new)[1]


@pytest.fixture
def acme(silos: Silos) -> list[int]:
    """Five organizations of `us` and two of `de`, with their slugs: acme-0 ..; ids ascending."""
    ids = [*organization_ids(1, 5), *organization_ids(2, 2)]
    wishes = [(organization, f"Acme-{place}") for place, organization in enumerate(ids)]
    for name, part in (("us", wishes[:5]), ("de", wishes[5:])):
        add_organizations(silos.regions[name], part)
        silos.reserve(name, part)
    silos.drain()
    return sorted(ids)


REGIONS_REQUEST = region_pb.ListRegionsRequest()


def test_regions_are_listed_to_any_token(silos: Silos, client: Client) -> None:
    client.secret = minted(silos, scopes=("ids:generate",))
    listed = client.call(client.regions.ListRegions, REGIONS_REQUEST).regions
    assert [(region.name, region.number, region.public_address) for region in listed] == [
        ("regions/de", 2, "127.0.0.1:7720"),
        ("regions/us", 1, "127.0.0.1:7710"),
    ]


def test_every_bad_token_is_told_apart(silos: Silos, clock: FakeClock, client: Client) -> None:
    expired = minted(silos, expires_at=clock.now() + timedelta(seconds=1))
    revoked = minted(silos, name="revoked")
    token = usecases.authenticator(silos.control, clock)(revoked).token_id
    assert token is not None
    silos.control.transact(lambda transaction: usecases.revoke_token(transaction, token))
    clock.advance(1)
    expected = {
        new_secret(): (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"),
        "siloway_short": (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"),
        expired: (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED"),
        revoked: (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED"),
        minted(silos, audience=("us",)): (grpc.StatusCode.PERMISSION_DENIED, "TOKEN_AUDIENCE"),
    }
    for secret, refusal in expected.items():
        client.secret = secret
        told = client.refused(client.regions.ListRegions, REGIONS_REQUEST)
        assert (told.code, told.reason) == refusal


def test_too_small_a_scope_names_the_one_that_is_needed(silos: Silos, client: Client) -> None:
    client.secret = minted(silos, scopes=("ids:generate",))
    told = client.refused(client.organizations.ListOrganizations, organization_pb.ListOrganizationsRequest())
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert told.metadata["scope"] == "org:read"


def test_region_checks_tokens_by_its_replica(silos: Silos, clock: FakeClock) -> None:
    good, other = minted(silos), minted(silos, audience=("de",))
    with door(silos, region_authenticator(silos.regions["us"], clock, "us")) as client:
        client.secret = good
        assert client.refused(client.regions.ListRegions, REGIONS_REQUEST).reason == "TOKEN_INVALID"
        silos.drain()
        assert client.call(client.regions.ListRegions, REGIONS_REQUEST)
        client.secret = other
        assert client.refused(client.regions.ListRegions, REGIONS_REQUEST).reason == "TOKEN_INVALID"


def test_organization_is_found_by_id_and_by_slug_in_any_case(client: Client, acme: list[int]) -> None:
    get = client.organizations.GetOrganization
    by_id = client.call(get, organization_pb.GetOrganizationRequest(name=f"organizations/{acme[0]}"))
    by_slug = client.call(get, organization_pb.GetOrganizationRequest(name="organizations/ACME-0"))
    assert by_id == by_slug
    assert (by_id.uid, by_id.slug, by_id.display_name, by_id.region, by_id.region_address) == (
        str(acme[0]),
        "acme-0",
        "Name of Acme-0",
        "us",
        "127.0.0.1:7710",
    )


def test_texts_that_no_database_takes_are_refused_by_field(client: Client) -> None:
    request = organization_pb.ListOrganizationsRequest(region="us\0")
    told = client.refused(client.organizations.ListOrganizations, request)
    assert (told.reason, [field for field, _ in told.violations]) == ("INVALID_FIELD", ["region"])
    slug = slug_pb.GetSlugReservationRequest(name="slugReservations/a\0")
    told = client.refused(client.slugs.GetSlugReservation, slug)
    assert (told.reason, [field for field, _ in told.violations]) == ("INVALID_FIELD", ["name"])
    name = organization_pb.GetOrganizationRequest(name="organizations/a\0")
    assert client.refused(client.organizations.GetOrganization, name).reason in (
        "INVALID_FIELD",
        "ORGANIZATION_NOT_FOUND",
    )


@pytest.mark.parametrize("name", ["organizations/nobody", "organizations/17"])
def test_unknown_organization_is_not_found(client: Client, acme: list[int], name: str) -> None:
    told = client.refused(client.organizations.GetOrganization, organization_pb.GetOrganizationRequest(name=name))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "ORGANIZATION_NOT_FOUND")


def test_organizations_are_listed_in_pages(client: Client, acme: list[int]) -> None:
    seen: list[int] = []
    request = organization_pb.ListOrganizationsRequest(page_size=3)
    sizes = []
    while True:
        page = client.call(client.organizations.ListOrganizations, request)
        sizes.append(len(page.organizations))
        seen.extend(int(organization.uid) for organization in page.organizations)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == acme
    assert sizes == [3, 3, 1]
    request.region = "de"
    told = client.refused(client.organizations.ListOrganizations, request)
    assert told.reason == "INVALID_PAGE_TOKEN"
    request.page_token = ""
    of_de = client.call(client.organizations.ListOrganizations, request).organizations
    assert {organization.region for organization in of_de} == {"de"}


def test_organization_without_an_applied_slug_has_an_empty_one(silos: Silos, client: Client) -> None:
    (organization,) = organization_ids(1, 1)
    silos.reserve("us", [(organization, "acme")])
    get = client.organizations.GetOrganization
    told = client.call(get, organization_pb.GetOrganizationRequest(name=f"organizations/{organization}"))
    assert (told.slug, told.region) == ("", "us")
    name = organization_pb.GetOrganizationRequest(name="organizations/acme")
    assert client.refused(get, name).reason == "ORGANIZATION_NOT_FOUND"


def test_reservation_tells_holder_role_and_life(silos: Silos, client: Client) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])
    request = slug_pb.GetSlugReservationRequest(name="slugReservations/AcMe")
    held = client.call(client.slugs.GetSlugReservation, request)
    silos.drain()
    active = client.call(client.slugs.GetSlugReservation, request)

    wire = slug_pb.SlugReservation
    assert (held.type, held.state) == (wire.TYPE_TEMPORARY_RENAME_ALIAS, wire.STATE_HELD)
    assert (active.type, active.state) == (wire.TYPE_PRIMARY, wire.STATE_ACTIVE)
    assert (active.name, active.slug, active.organization, active.region) == (
        "slugReservations/acme",
        "acme",
        f"organizations/{organization}",
        "us",
    )
    assert not active.HasField("expire_time")


def test_free_slug_is_not_found(client: Client) -> None:
    told = client.refused(
        client.slugs.GetSlugReservation, slug_pb.GetSlugReservationRequest(name="slugReservations/free")
    )
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "SLUG_NOT_FOUND")


def test_reservations_are_listed_in_pages(client: Client, acme: list[int]) -> None:
    seen: list[str] = []
    request = slug_pb.ListSlugReservationsRequest(page_size=2)
    while True:
        page = client.call(client.slugs.ListSlugReservations, request)
        seen.extend(reservation.slug for reservation in page.slug_reservations)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == [f"acme-{place}" for place in range(7)]
    one = slug_pb.ListSlugReservationsRequest(organization=f"organizations/{acme[0]}")
    listed = client.call(client.slugs.ListSlugReservations, one).slug_reservations
    beyond = slug_pb.ListSlugReservationsRequest(organization=f"organizations/{'9' * 16}")
    assert client.call(client.slugs.ListSlugReservations, beyond).slug_reservations == []
    assert [reservation.slug for reservation in listed] == ["acme-0"]


def test_token_of_one_organization_sees_that_one_only(silos: Silos, client: Client, acme: list[int]) -> None:
    own, other = acme[0], acme[1]
    client.secret = minted(silos, organization_id=own)
    get, listing = client.organizations.GetOrganization, client.organizations.ListOrganizations
    assert client.call(get, organization_pb.GetOrganizationRequest(name="organizations/acme-0"))
    for name in (f"organizations/{other}", "organizations/acme-1"):
        told = client.refused(get, organization_pb.GetOrganizationRequest(name=name))
        assert told.reason == "ORGANIZATION_NOT_FOUND"
    listed = client.call(listing, organization_pb.ListOrganizationsRequest()).organizations
    assert [organization.uid for organization in listed] == [str(own)]
    assert client.call(
        client.slugs.GetSlugReservation, slug_pb.GetSlugReservationRequest(name="slugReservations/acme-0")
    )
    told = client.refused(
        client.slugs.GetSlugReservation, slug_pb.GetSlugReservationRequest(name="slugReservations/acme-1")
    )
    assert told.reason == "SLUG_NOT_FOUND"
    everything = client.call(client.slugs.ListSlugReservations, slug_pb.ListSlugReservationsRequest())
    assert [reservation.slug for reservation in everything.slug_reservations] == ["acme-0"]
    others = slug_pb.ListSlugReservationsRequest(organization=f"organizations/{other}")
    assert client.call(client.slugs.ListSlugReservations, others).slug_reservations == []
