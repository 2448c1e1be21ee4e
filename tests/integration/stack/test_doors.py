"""What each door of the running silos serves: every method that has a row, and nothing else."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from siloway.internal.v1 import control_callback_service_pb2 as control_callback_pb
from siloway.internal.v1 import model_export_service_pb2 as model_export_pb
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.internal.v1 import region_callback_service_pb2 as region_callback_pb
from siloway.internal.v1 import region_comparison_service_pb2 as comparison_pb

from control_silo import wiring as control_wiring
from region_silo import wiring as region_wiring
from shared.rpc.channel import Credentials, InternalChannel
from shared.rpc.methods import HEALTH_METHODS, REFLECTION_METHODS
from shared.silo import COMMON_METHODS
from siloway_client.refusal import refusal_of
from tests.stack import RunningStack

pytestmark = pytest.mark.integration

_COMMON = (*COMMON_METHODS, *HEALTH_METHODS, *REFLECTION_METHODS)
_PUBLIC = {"control": control_wiring.PUBLIC_METHODS, "us": region_wiring.PUBLIC_METHODS}
_CONTROL_INTERNAL: list[ServiceDescriptor] = [
    control_callback_pb.DESCRIPTOR.services_by_name["ControlCallbackService"],
    model_import_pb.DESCRIPTOR.services_by_name["ModelImportService"],
    model_export_pb.DESCRIPTOR.services_by_name["ModelExportService"],
]
_REGION_INTERNAL: list[ServiceDescriptor] = [
    region_callback_pb.DESCRIPTOR.services_by_name["RegionCallbackService"],
    comparison_pb.DESCRIPTOR.services_by_name["RegionComparisonService"],
]
_NOT_SERVED = {"METHOD_UNKNOWN", "UNIMPLEMENTED"}
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_INTERNAL = {
    "control": (control_wiring.INTERNAL_METHODS, _CONTROL_INTERNAL, "us"),
    "us": (region_wiring.INTERNAL_METHODS, _REGION_INTERNAL, "control"),
}


@pytest.fixture(params=["control", "us"])
def silo(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def public(stack: RunningStack, silo: str) -> Iterator[grpc.Channel]:
    """The silo's public door, with the token."""
    with stack.control() if silo == "control" else stack.region(silo) as client:
        yield client.channel


@pytest.fixture
def bare(stack: RunningStack, silo: str) -> Iterator[grpc.Channel]:
    """The silo's public door, without a token."""
    with grpc.insecure_channel(_described(stack, silo)["public_address"]) as channel:
        yield channel


def test_reflection_lists_exactly_the_services_that_have_rows(public: grpc.Channel, silo: str) -> None:
    listed = set(ProtoReflectionDescriptorDatabase(public).get_services())
    # The second version of reflection has a row for clients that try it first, and is no service of its own here.
    with_rows = {_service(row.name) for row in (*_PUBLIC[silo], *_COMMON)}
    assert listed == with_rows
    assert not any(name.startswith("siloway.internal.") for name in listed)


def test_every_public_method_has_a_row_and_every_row_a_method(public: grpc.Channel, silo: str) -> None:
    database = ProtoReflectionDescriptorDatabase(public)
    methods = {
        f"/{service}/{method.name}"
        for service in database.get_services()
        if service.startswith("siloway.")
        for each in database.FindFileContainingSymbol(service).service
        if service.endswith(f".{each.name}")
        for method in each.method
    }
    assert methods == {row.name for row in (*_PUBLIC[silo], *COMMON_METHODS)}
    answers = {name: _answer(public, name) for name in methods}
    assert not _NOT_SERVED & set(answers.values()), answers


def test_every_internal_method_has_a_row_and_every_row_a_method(stack: RunningStack, silo: str) -> None:
    rows, services, peer = _INTERNAL[silo]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert methods == {row.name for row in rows}
    with _internal_door(stack, silo, as_silo=peer) as channel:
        answers = {name: _answer(channel, name) for name in methods}
    assert not _NOT_SERVED & set(answers.values()), answers


def test_no_internal_method_is_reachable_on_a_public_door(public: grpc.Channel) -> None:
    for service in (*_CONTROL_INTERNAL, *_REGION_INTERNAL):
        for method in service.methods:
            assert _answer(public, f"/{service.full_name}/{method.name}") == "METHOD_UNKNOWN"


def test_no_public_method_is_reachable_on_an_internal_door(stack: RunningStack, silo: str) -> None:
    with _internal_door(stack, silo, as_silo=_INTERNAL[silo][2]) as channel:
        for row in _PUBLIC[silo]:
            assert _answer(channel, row.name) == "METHOD_UNKNOWN"


def test_an_internal_door_refuses_who_shows_no_certificate(stack: RunningStack, silo: str) -> None:
    authority = Path(stack.environment(silo)["SILOWAY_INTERNAL_CA_FILE"]).read_bytes()
    address = _described(stack, silo)["internal_address"]
    for channel in (
        grpc.insecure_channel(address),
        grpc.secure_channel(address, grpc.ssl_channel_credentials(authority)),
    ):
        with channel:
            assert _answer(channel, _INTERNAL[silo][0][0].name) == "UNAVAILABLE"


def test_one_region_may_not_call_another(stack: RunningStack) -> None:
    with _internal_door(stack, "us", as_silo="de") as channel:
        refused = {_answer(channel, row.name) for row in region_wiring.INTERNAL_METHODS}
    assert refused == {"PEER_REFUSED"}


def test_without_a_token_nothing_is_answered_but_health(bare: grpc.Channel, silo: str) -> None:
    for name in (*(row.name for row in (*_PUBLIC[silo], *COMMON_METHODS)), _REFLECTION):
        with pytest.raises(grpc.RpcError) as refused:
            _call(bare, name)
        assert refusal_of(refused.value).code == "UNAUTHENTICATED", name
    # An empty request asks for the server as a whole.
    (answer,) = _call(bare, "/grpc.health.v1.Health/Check")
    assert health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING


def _described(stack: RunningStack, silo: str) -> dict[str, str]:
    found: dict[str, str] = stack.describe["control"] if silo == "control" else stack.describe["regions"][silo]
    return found


@contextlib.contextmanager
def _internal_door(stack: RunningStack, silo: str, *, as_silo: str) -> Iterator[grpc.Channel]:
    own = stack.environment(as_silo)
    prefix = "SILOWAY_CONTROL" if as_silo == "control" else f"SILOWAY_REGION_{as_silo.upper()}"
    credentials = Credentials.read(
        certificate_file=Path(own[f"{prefix}_CERT_FILE"]),
        key_file=Path(own[f"{prefix}_KEY_FILE"]),
        authority_file=Path(own["SILOWAY_INTERNAL_CA_FILE"]),
    )
    with InternalChannel(_described(stack, silo)["internal_address"], peer=silo, credentials=credentials) as door:
        yield door.channel


def _answer(channel: grpc.Channel, name: str) -> str:
    """The reason of the refusal of an empty request; "OK" when it was answered."""
    try:
        _call(channel, name)
    except grpc.RpcError as error:
        return refusal_of(error).reason
    return "OK"


def _call(channel: Any, name: str) -> list[bytes]:
    """The answers to an empty request, sent as a stream of one: on the wire that is what a unary call is, too."""
    return list(channel.stream_stream(name)(iter([b""]), timeout=10))


def _service(method: str) -> str:
    return method.split("/")[1]
