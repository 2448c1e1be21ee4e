"""The conversation through the internal doors: real servers, mutual TLS, real drainers with their transports."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from siloway.internal.v1 import control_callback_service_pb2 as control_pb
from siloway.internal.v1 import control_callback_service_pb2_grpc as control_rpc
from siloway.internal.v1 import delivery_pb2 as delivery_pb
from siloway.internal.v1 import region_callback_service_pb2_grpc as region_rpc

from control_silo.callbacks import registry as control_callbacks
from control_silo.callbacks.servicer import METHODS as CONTROL_METHODS
from control_silo.callbacks.servicer import ControlCallbackServicer
from control_silo.callbacks.transport import RegionTransport
from control_silo.recovery.losing import declare_lost
from control_silo.recovery.usecases import recover, refuse_lost
from region_silo.callbacks import registry as region_callbacks
from region_silo.callbacks.servicer import METHODS as REGION_METHODS
from region_silo.callbacks.servicer import RegionCallbackServicer
from region_silo.callbacks.transport import ControlTransport
from region_silo.routing.control_peer import OwnerQuestion
from region_silo.routing.domain import Owner
from region_silo.slugs.reservations import SlugReservations, SlugWish
from shared.errors import OrganizationNotFound, PeerUnavailable
from shared.identity import read_identity
from shared.outbox.domain import Delivery
from shared.outbox.drainer import Drainer
from shared.rpc.channel import Credentials, InternalChannel
from shared.rpc.methods import Door, Method, MethodTable
from shared.rpc.server import RpcServer, build_server
from tests.clock import FakeClock
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    organization_ids,
    pending,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.rpc.certificates import Authority, as_files
from tests.refusals import Refusal, refusal_of

pytestmark = pytest.mark.integration


class Doors:
    """The internal door of each silo, and a channel to each of them."""

    def __init__(self, silos: Silos, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._folder = folder
        self.authority = Authority.make()
        self._admit = refuse_lost(silos.control)
        self.credentials = {name: self.authority.silo(name) for name in ("control", *silos.regions)}
        self.ports = {"control": self._open("control", CONTROL_METHODS, *_control(silos)).port}
        for name in silos.regions:
            self.ports[name] = self._open(name, REGION_METHODS, *_region(silos, name)).port
        self.transport = RegionTransport(
            {name: f"127.0.0.1:{self.ports[name]}" for name in silos.regions}, self.credentials["control"]
        )
        stack.callback(self.transport.close)
        silos.drainers["control"] = Drainer(
            silos.control,
            control_callbacks.sending_registry(),
            self.transport,
            clock=silos.clock,
            origin="control",
            epoch=silos.control.read(read_identity).epoch,
        )
        for name, database in silos.regions.items():
            silos.drainers[name] = Drainer(
                database,
                region_callbacks.sending_registry(),
                ControlTransport(self.channel(name, "control")),
                clock=silos.clock,
                origin=name,
                epoch=database.read(read_identity).epoch,
            )

    def channel(self, caller: str, peer: str, credentials: Credentials | None = None) -> InternalChannel:
        channel = InternalChannel(
            f"127.0.0.1:{self.ports[peer]}", peer=peer, credentials=credentials or self.credentials[caller]
        )
        self._stack.callback(channel.close)
        return channel

    def _open(self, name: str, methods: tuple[Method, ...], add: Callable[..., None], servicer: object) -> RpcServer:
        server = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*methods),
            door=Door.INTERNAL,
            servicers=[(add, servicer)],
            tls=as_files(self.credentials[name], self._folder / name),
            admit=self._admit if name == "control" else None,
        )
        server.start()
        self._stack.callback(server.stop, 0)
        return server


def _control(silos: Silos) -> tuple[Callable[..., None], object]:
    return control_rpc.add_ControlCallbackServiceServicer_to_server, ControlCallbackServicer(silos.control)


def _region(silos: Silos, name: str) -> tuple[Callable[..., None], object]:
    registry = region_callbacks.receiving_registry(wake=silos.woken.append)
    servicer = RegionCallbackServicer(silos.regions[name], registry, take_ids=silos.ids[name].take)
    return region_rpc.add_RegionCallbackServiceServicer_to_server, servicer


@pytest.fixture
def doors(silos: Silos, tmp_path: Path) -> Iterator[Doors]:
    with ExitStack() as stack:
        yield Doors(silos, tmp_path, stack)


def refused(call: Callable[..., Any], request: object) -> Refusal:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=5)
    return refusal_of(caught.value)


def test_import_gets_its_slugs_through_the_doors(silos: Silos, doors: Doors) -> None:
    wishes = {
        "us": [(organization, "Acme") for organization in organization_ids(1, 7)],
        "de": [(organization, "Acme") for organization in organization_ids(2, 7)],
    }
    for name, wished in wishes.items():
        add_organizations(silos.regions[name], wished)
        asking = SlugReservations(doors.channel(name, "control"))
        items = [SlugWish(organization, slug, "Acme Inc") for organization, slug in wished]
        first = asking.reserve("imports/5", items)
        again = asking.reserve("imports/5", items)
        assert first == again
        assert [given.organization_id for given in first] == [organization for organization, _ in wished]

    silos.drain()

    held = reservations(silos.control)
    assert len(held) == 14
    assert {row[1:3] for row in held.values()} == {(0, 1)}
    for name, wished in wishes.items():
        assert set(region_slugs(silos.regions[name]).values()) <= set(held)
        assert pending(silos.regions[name]) == 0
        asking = SlugReservations(doors.channel(name, "control"))
        items = [SlugWish(organization, slug, "Acme Inc") for organization, slug in wished]
        assert all(given.finished for given in asking.reserve("imports/5", items))
    assert pending(silos.control) == 0
    assert rows(silos.control, "SELECT * FROM organization_mapping WHERE slug IS NULL") == []


def test_a_text_too_long_for_the_contract_is_cut_not_refused(silos: Silos, doors: Doors) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "a" * 250)])

    (given,) = SlugReservations(doors.channel("us", "control")).reserve(
        "imports/5", [SlugWish(organization, "a" * 250, "n" * 250)]
    )

    assert given.slug == "a" * 30


def test_region_is_told_what_is_not_its_own(silos: Silos, doors: Doors) -> None:
    (theirs,) = organization_ids(2, 1)
    stub = control_rpc.ControlCallbackServiceStub(doors.channel("us", "control").channel)

    item = control_pb.ReserveSlugsRequest.Item(organization_id=theirs, base_slug="acme")
    refusal = refused(stub.ReserveSlugs, control_pb.ReserveSlugsRequest(change_set="imports/1", items=[item]))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PEER_REFUSED")
    assert reservations(silos.control) == {}


def test_organization_that_stands_twice_is_named(doors: Doors) -> None:
    first, second = organization_ids(1, 2)
    stub = control_rpc.ControlCallbackServiceStub(doors.channel("us", "control").channel)

    items = [control_pb.ReserveSlugsRequest.Item(organization_id=i, base_slug="a") for i in (first, second, first)]
    refusal = refused(stub.ReserveSlugs, control_pb.ReserveSlugsRequest(change_set="imports/1", items=items))

    assert refusal.reason == "INVALID_FIELD"
    assert [field for field, _ in refusal.violations] == ["items[2].organization_id"]


def test_region_that_the_directory_does_not_know_is_refused(doors: Doors) -> None:
    (ours,) = organization_ids(3, 1)
    stranger = doors.channel("fr", "control", doors.authority.silo("fr"))
    stub = control_rpc.ControlCallbackServiceStub(stranger.channel)

    item = control_pb.ReserveSlugsRequest.Item(organization_id=ours, base_slug="acme")
    refusal = refused(stub.ReserveSlugs, control_pb.ReserveSlugsRequest(change_set="imports/1", items=[item]))

    assert refusal.reason == "PEER_REFUSED"


def test_region_asks_control_who_owns_an_organization(silos: Silos, doors: Doors) -> None:
    (theirs,) = organization_ids(2, 1)
    add_organizations(silos.regions["de"], [(theirs, "acme")])
    silos.reserve("de", [(theirs, "acme")])
    silos.drain()
    ask = OwnerQuestion(doors.channel("us", "control"))
    assert ask("ACME") == ask(theirs) == Owner(theirs, "de", "127.0.0.1:7720")
    for nobody in ("nobody", 17):
        with pytest.raises(OrganizationNotFound):
            ask(nobody)
    as_control = control_rpc.ControlCallbackServiceStub(doors.channel("control", "control").channel)
    assert refused(as_control.FindOrganization, control_pb.FindOrganizationRequest(key="acme")).reason == "PEER_REFUSED"


def test_no_region_delivers_in_anothers_name_or_to_another_region(doors: Doors) -> None:
    request = delivery_pb.DeliverMessagesRequest(
        origin="us",
        epoch="0b7cf1a4-6f1e-4a57-9f0e-6ef0f6f4c111",
        shards=[delivery_pb.ShardDelivery(aggregate="a/1", last_sequence=1)],
    )
    as_de = control_rpc.ControlCallbackServiceStub(doors.channel("de", "control").channel)
    to_us = region_rpc.RegionCallbackServiceStub(doors.channel("de", "us").channel)

    assert refused(as_de.DeliverMessages, request).reason == "PEER_REFUSED"
    assert refused(to_us.DeliverMessages, request).reason == "PEER_REFUSED"


def test_a_lost_region_is_refused_at_the_door_and_keeps_its_messages_until_it_is_recovered(
    silos: Silos, doors: Doors, clock: FakeClock
) -> None:
    ours, theirs = organization_ids(1, 1), organization_ids(2, 1)
    for name, ids in (("us", ours), ("de", theirs)):
        add_organizations(silos.regions[name], [(ids[0], name)])
    asking = {name: SlugReservations(doors.channel(name, "control")) for name in ("us", "de")}
    asking["us"].reserve("imports/5", [SlugWish(ours[0], "first", "First")])
    silos.drain("control")
    request_id = str(uuid.uuid4())
    sends = control_callbacks.sending_registry()
    silos.control.transact(lambda t: declare_lost(t, sends, region="us", request_id=request_id))

    item = control_pb.ReserveSlugsRequest.Item(organization_id=ours[0], base_slug="first")
    stub = control_rpc.ControlCallbackServiceStub(doors.channel("us", "control").channel)
    refusal = refused(stub.ReserveSlugs, control_pb.ReserveSlugsRequest(change_set="imports/5", items=[item]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PEER_REFUSED")
    with pytest.raises(OrganizationNotFound):
        OwnerQuestion(doors.channel("de", "control"))("nobody")
    assert asking["de"].reserve("imports/6", [SlugWish(theirs[0], "first", "First")])[0].slug == "first"
    assert silos.drainers["us"].drain_once().outages == 1
    waiting = pending(silos.regions["us"])
    assert waiting > 0, "its answer is not lost"

    silos.control.transact(lambda t: recover(t, region="us", request_id=request_id))
    clock.advance(60)
    silos.drain()
    assert pending(silos.regions["us"]) == 0
    assert reservations(silos.control)["first"][0] == theirs[0], "a late answer takes nothing from who has it now"


def test_target_without_an_address_counts_as_down(doors: Doors) -> None:
    with pytest.raises(PeerUnavailable):
        doors.transport.deliver("fr", Delivery("control", "e", ()), 1.0)
    with pytest.raises(PeerUnavailable):
        ControlTransport(doors.channel("us", "control")).deliver("de", Delivery("us", "e", ()), 1.0)
