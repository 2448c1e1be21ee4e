"""Changes through control's public door: calls wait for the regions' answers, and say RUNNING when they take longer."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from siloway.control.v1 import organization_service_pb2 as organization_pb
from siloway.control.v1 import organization_service_pb2_grpc as organization_rpc
from siloway.control.v1 import slug_reservation_service_pb2 as slug_pb
from siloway.control.v1 import slug_reservation_service_pb2_grpc as slug_rpc

from control_silo.changes.waiting import ChangeWaiter
from control_silo.organizations import servicer as organizations
from control_silo.slugs import servicer as slugs
from shared import barrier
from shared.errors import PeerUnavailable
from shared.outbox.domain import Delivery
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from shared.wake import Waker
from tests.integration.callbacks.silos import Silos, pending, rows
from tests.integration.provisioning.asking import add_user
from tests.invariants import check_quiet
from tests.refusals import Refusal, refusal_of

pytestmark = pytest.mark.integration

Change = organization_pb.OrganizationChange
SCOPES = frozenset({"org:read", "org:admin"})
CALLERS = {
    "ada": Caller("tokens/1", SCOPES),
    "bob": Caller("tokens/2", SCOPES),
    "reader": Caller("tokens/3", frozenset({"org:read"})),
    "bound": Caller("tokens/4", SCOPES, organization_id=17),
}


class Client:
    """Control's services behind a door, and somebody who delivers all the time."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.organizations = organization_rpc.OrganizationServiceStub(channel)
        self.slugs = slug_rpc.SlugReservationServiceStub(channel)

    def call(self, method: Callable[..., Any], request: object, who: str = "ada", timeout_s: float = 10) -> Any:
        return method(request, timeout=timeout_s, metadata=(("authorization", f"Bearer {who}"),))

    def refused(self, method: Callable[..., Any], request: object, who: str = "ada") -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request, who)
        return refusal_of(caught.value)


@pytest.fixture
def client(silos: Silos) -> Iterator[Client]:
    add_user(silos)
    with ExitStack() as stack:
        waker = Waker(silos.control_url)
        stack.callback(waker.close)
        silos.tell = waker.wake
        waiter = ChangeWaiter(silos.control, silos.control_url)
        stack.callback(waiter.close)
        server = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*organizations.METHODS, *slugs.METHODS),
            door=Door.PUBLIC,
            servicers=[
                (
                    organization_rpc.add_OrganizationServiceServicer_to_server,
                    organizations.OrganizationServicer(silos.control, waiter),
                ),
                (slug_rpc.add_SlugReservationServiceServicer_to_server, slugs.SlugReservationServicer(silos.control)),
            ],
            authenticate=CALLERS.__getitem__,
        )
        server.start()
        stack.callback(server.stop, 0)
        yield Client(stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}")))


@pytest.fixture
def delivering(silos: Silos) -> Iterator[None]:
    """The silos deliver all the time, as their `work` programs do."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.02):
            if pending(silos.control) or any(map(pending, silos.regions.values())):
                silos.drain()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_fault_R3_a_provision_that_outlasts_its_callers_deadline_is_found_under_its_request_id(
    silos: Silos, client: Client
) -> None:
    held, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def outlast(times: int) -> None:
        held.set()
        assert go_on.wait(20)

    def ended(times: int) -> None:
        over.set()

    request = new()
    with barrier.registered("provision.held", outlast), barrier.registered("before_commit", ended):
        with pytest.raises(grpc.RpcError) as caught:
            client.call(client.organizations.ProvisionOrganization, request, timeout_s=1.5)
        assert refusal_of(caught.value).code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert held.is_set(), "it was in the middle"
        go_on.set()
        assert over.wait(20)
    repeats = [client.call(client.organizations.ProvisionOrganization, request, timeout_s=2) for _ in range(2)]
    assert {repeat.slug for repeat in repeats} == {"acme"}
    silos.drain()
    done = client.call(client.organizations.ProvisionOrganization, request)
    assert done.state == Change.STATE_SUCCEEDED
    assert rows(silos.regions["us"], "SELECT slug FROM organization") == [("acme",)]
    check_quiet(silos.control, silos.regions)


def new(**fields: Any) -> organization_pb.ProvisionOrganizationRequest:
    given = {"region": "us", "slug": "acme", "display_name": "Acme", "owner_user": "users/4001", **fields}
    return organization_pb.ProvisionOrganizationRequest(request_id=str(uuid.uuid4()), **given)


@pytest.mark.usefixtures("delivering")
def test_calls_answer_when_the_regions_have(silos: Silos, client: Client) -> None:
    request = new()
    made = client.call(client.organizations.ProvisionOrganization, request)
    assert (made.state, made.kind, made.slug, made.region) == (
        Change.STATE_SUCCEEDED,
        Change.KIND_PROVISION,
        "acme",
        "us",
    )
    assert made.name == f"organizationChanges/{request.request_id}"
    other = client.call(client.organizations.ProvisionOrganization, new(slug="other", region="de"))
    swap = organization_pb.SwapSlugsRequest(
        pairs=[
            organization_pb.SwapSlugsRequest.Pair(organization=made.organization, slug="other"),
            organization_pb.SwapSlugsRequest.Pair(organization="organizations/other", slug="acme"),
        ],
        request_id=str(uuid.uuid4()),
    )
    assert client.call(client.organizations.SwapSlugs, swap).state == Change.STATE_SUCCEEDED
    rename = organization_pb.RenameOrganizationRequest(
        name=other.organization, slug="fresh", exact=True, request_id=str(uuid.uuid4())
    )
    renamed = client.call(client.organizations.RenameOrganization, rename)
    assert (renamed.state, renamed.kind) == (Change.STATE_SUCCEEDED, Change.KIND_RENAME)
    asked = organization_pb.GetOrganizationRequest(name="organizations/acme")
    assert client.call(client.organizations.GetOrganization, asked).slug == "fresh"
    listed = client.call(client.slugs.ListSlugReservations, slug_pb.ListSlugReservationsRequest()).slug_reservations
    redirect = next(each for each in listed if each.slug == "acme")
    assert (redirect.type, redirect.use_count) == (slug_pb.SlugReservation.TYPE_REDIRECT, 1)
    assert redirect.expire_time.seconds - redirect.update_time.seconds == 30 * 24 * 3600
    release = slug_pb.ReleaseRedirectRequest(name="slugReservations/acme", request_id=str(uuid.uuid4()))
    client.call(client.slugs.ReleaseRedirect, release)
    checked = client.call(client.slugs.CheckSlug, slug_pb.CheckSlugRequest(slug="Acme"))
    assert checked.availability == slug_pb.CheckSlugResponse.AVAILABILITY_FREE
    check_quiet(silos.control, silos.regions)


def test_a_region_that_is_slow_leaves_the_change_running_and_a_repeat_sees_its_end(
    silos: Silos, client: Client
) -> None:
    request = new()
    running = client.call(client.organizations.ProvisionOrganization, request, timeout_s=1.5)
    assert (running.state, running.organization) == (Change.STATE_RUNNING, "")
    silos.drain()
    done = client.call(client.organizations.ProvisionOrganization, request)
    asked = organization_pb.GetOrganizationChangeRequest(name=running.name)
    assert done == client.call(client.organizations.GetOrganizationChange, asked)
    assert (done.state, done.slug) == (Change.STATE_SUCCEEDED, "acme")
    told = client.refused(client.organizations.GetOrganizationChange, asked, "bob")
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "ORGANIZATION_CHANGE_NOT_FOUND")


@pytest.mark.usefixtures("delivering")
def test_a_conflict_in_the_region_is_told_in_the_change(silos: Silos, client: Client) -> None:
    from tests.integration.callbacks.silos import add_organizations, execute, organization_ids

    add_organizations(silos.regions["us"], [(organization_ids(1, 1)[0], "x")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme', state = 1")
    failed = client.call(client.organizations.ProvisionOrganization, new())
    assert (failed.state, failed.error.code) == (Change.STATE_FAILED, grpc.StatusCode.ALREADY_EXISTS.value[0])
    assert b"SLUG_CONFLICT" in failed.error.details[0].value


def test_a_deadline_that_is_short_answers_running_in_time(silos: Silos, client: Client) -> None:
    def down(target: str, delivery: Delivery) -> None:
        raise PeerUnavailable

    silos.transport.before = down
    assert client.call(client.organizations.ProvisionOrganization, new(), timeout_s=1).state == Change.STATE_RUNNING


def test_case_22_shapes_and_owners_are_refused_by_field(silos: Silos, client: Client) -> None:
    provision = client.organizations.ProvisionOrganization
    nobody = organization_pb.ProvisionOrganizationRequest(
        region="us", display_name="Acme", request_id=str(uuid.uuid4())
    )
    wrong: list[tuple[Any, str]] = [
        (nobody, "owner"),
        (new(owner_user="users/0"), "owner_user"),
        (new(owner_user="users/99"), "owner_user"),
        (new(region="mars"), "region"),
        (new(display_name="  "), "display_name"),
    ]
    for request, field in wrong:
        told = client.refused(provision, request)
        assert (told.code, [path for path, _ in told.violations]) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    address = new()
    address.owner_email = "nobody"
    assert client.refused(provision, address).code == grpc.StatusCode.INVALID_ARGUMENT
    ttl = organization_pb.RenameOrganizationRequest(
        name="organizations/1", slug="a", redirect_ttl=Duration(seconds=-1), request_id=str(uuid.uuid4())
    )
    told = client.refused(client.organizations.RenameOrganization, ttl)
    assert [path for path, _ in told.violations] == ["redirect_ttl"]
    assert rows(silos.control, "SELECT * FROM slug_reservation") == []


def test_who_may_change_what(silos: Silos, client: Client) -> None:
    rename = organization_pb.RenameOrganizationRequest(
        name="organizations/18", slug="fresh", request_id=str(uuid.uuid4())
    )
    told = client.refused(client.organizations.ProvisionOrganization, new(), "reader")
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    told = client.refused(client.organizations.ProvisionOrganization, new(), "bound")
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    told = client.refused(client.organizations.RenameOrganization, rename, "bound")
    assert told.reason == "ORGANIZATION_NOT_FOUND"
    told = client.refused(client.organizations.RenameOrganization, rename, "reader")
    assert told.reason == "SCOPE_MISSING"
