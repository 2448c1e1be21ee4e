"""Beginning and ending to serve: where a door may listen, what its messages must be, and how it stops."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY
from siloway.region.v1 import (
    import_service_pb2,
    import_service_pb2_grpc,
    snowflake_service_pb2,
    snowflake_service_pb2_grpc,
)

from shared.rpc.addresses import CannotServe
from shared.rpc.methods import Budget, Door, Method, MethodTable, Whose
from shared.rpc.server import RpcServer, Tls, build_server
from tests.integration.rpc.certificates import Authority, as_files
from tests.integration.rpc.words import SAY, SERVICE, Client, Words, add_words, authenticate, public_server, table
from tests.refusals import refusal_of

UPLOAD = "/siloway.region.v1.ImportService/UploadImport"
GENERATE = "/siloway.region.v1.SnowflakeService/GenerateIds"


def _build(**settings: Any) -> RpcServer:
    given: dict[str, Any] = {
        "address": "127.0.0.1:0",
        "table": table(Door.PUBLIC),
        "door": Door.PUBLIC,
        "servicers": [(add_words, Words())],
        "authenticate": authenticate,
    }
    return build_server(**{**given, **settings})


def test_a_taken_port_is_one_clear_line() -> None:
    with public_server() as first:
        with pytest.raises(CannotServe) as caught:
            _build(address=f"127.0.0.1:{first.port}")
        with Client(first.port) as client:
            assert client.call() == "hello"
    assert str(caught.value) == f"Cannot listen on 127.0.0.1:{first.port}: address already in use."


def test_a_port_is_shared_only_when_both_ask_for_it() -> None:
    first = _build(share_port=True)
    second = _build(share_port=True, address=f"127.0.0.1:{first.port}")
    assert second.port == first.port
    for server in (first, second):
        server.stop(0)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:7700", "example.org:7700"])
def test_plain_text_is_for_loopback_addresses_only(address: str) -> None:
    with pytest.raises(CannotServe, match="plain text"):
        _build(address=address)


def test_plain_text_elsewhere_must_be_allowed_explicitly() -> None:
    _build(address="0.0.0.0:0", allow_plaintext=True).stop(0)


def test_an_address_of_another_machine_is_one_clear_line() -> None:
    with pytest.raises(CannotServe, match=r"Cannot listen on 192\.0\.2\.1:7700: cannot assign requested address\."):
        _build(address="192.0.2.1:7700", allow_plaintext=True)


@pytest.mark.parametrize("with_certificate", [False, True])
def test_the_internal_door_does_not_open_without_mutual_tls(tmp_path: Path, with_certificate: bool) -> None:
    mutual = as_files(Authority.make().silo("control"), tmp_path)
    tls = Tls(mutual.certificate_file, mutual.key_file) if with_certificate else None
    with pytest.raises(CannotServe, match="authority"):
        _build(door=Door.INTERNAL, tls=tls, allow_plaintext=True)


def test_missing_and_broken_certificate_files_are_one_clear_line(tmp_path: Path) -> None:
    tls = as_files(Authority.make().silo("control"), tmp_path)
    tls.key_file.write_text("no key")
    with pytest.raises(CannotServe, match="certificate and key"):
        _build(tls=tls)
    tls.key_file.unlink()
    with pytest.raises(CannotServe, match=r"Cannot read .*key\.pem: no such file or directory\."):
        _build(tls=tls)


def test_the_public_door_serves_with_tls(tmp_path: Path) -> None:
    silo = Authority.make().silo("control")
    mutual = as_files(silo, tmp_path)
    server = _build(tls=Tls(mutual.certificate_file, mutual.key_file))
    server.start()
    channel = grpc.secure_channel(
        f"127.0.0.1:{server.port}",
        grpc.ssl_channel_credentials(silo.authority),
        options=[("grpc.ssl_target_name_override", "control.siloway.internal")],
    )
    say: Any = channel.unary_unary(SAY)
    assert say(b"", timeout=5, metadata=(("authorization", "Bearer good"),)) == b""
    channel.close()
    assert server.stop(1)


def test_stopping_finishes_what_runs_and_takes_nothing_new() -> None:
    entered, leave = threading.Event(), threading.Event()

    def say(request: StringValue, _context: grpc.ServicerContext) -> StringValue:
        entered.set()
        assert leave.wait(10)
        return request

    server = _build(servicers=[(add_words, Words(say=say))])
    server.start()
    with Client(server.port) as client:
        stub: Any = health_pb2_grpc.HealthStub(client.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        running = client.start("last", timeout=10)
        assert entered.wait(5)
        drained: list[bool] = []
        stopping = threading.Thread(target=lambda: drained.append(server.stop(8)))
        stopping.start()
        assert [one.status for one in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]
        _until_closed(server.port)
        with Client(server.port) as late, pytest.raises(grpc.RpcError) as caught:
            late.call(timeout=2)
        leave.set()
        assert running.result().value == "last"
        stopping.join(5)
    assert refusal_of(caught.value).code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert drained == [True]


def test_stopping_waits_no_longer_than_the_grace_time() -> None:
    entered, leave = threading.Event(), threading.Event()

    def say(request: StringValue, _context: grpc.ServicerContext) -> StringValue:
        entered.set()
        assert leave.wait(10)
        return request

    server = _build(servicers=[(add_words, Words(say=say))])
    server.start()
    with Client(server.port) as client:
        running = client.start(timeout=10)
        assert entered.wait(5)
        assert server.stop(0.1) is False
        with pytest.raises(grpc.RpcError):
            running.result()
        leave.set()


def _until_closed(port: int) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
    raise AssertionError("the port is still open")


def test_a_call_that_still_reaches_a_stopping_server_is_told_so() -> None:
    with public_server() as server, Client(server.port) as client:
        assert client.call() == "hello"
        server._interceptor.refuse_new_calls()
        with pytest.raises(grpc.RpcError) as caught:
            client.call()
    assert (refusal_of(caught.value).code.name, refusal_of(caught.value).reason) == ("UNAVAILABLE", "SERVER_STOPPING")


class _Ids(snowflake_service_pb2_grpc.SnowflakeServiceServicer):
    def GenerateIds(self, request: Any, context: Any) -> Any:
        return snowflake_service_pb2.GenerateIdsResponse(ids=range(request.count))


class _Uploads(import_service_pb2_grpc.ImportServiceServicer):
    def UploadImport(self, request_iterator: Iterator[Any], context: Any) -> Any:
        return import_service_pb2.DataImport(name=str(sum(len(request.chunk) for request in request_iterator)))


@pytest.fixture
def channel() -> Iterator[grpc.Channel]:
    everybody = Whose.EVERYBODY
    rows = (
        Method(GENERATE, Door.PUBLIC, whose=everybody),
        Method(UPLOAD, Door.PUBLIC, budget=Budget.STREAMS, whose=everybody),
    )
    server = _build(
        table=MethodTable.of(*rows),
        servicers=[
            (snowflake_service_pb2_grpc.add_SnowflakeServiceServicer_to_server, _Ids()),  # type: ignore[abstract]  # one method is enough
            (import_service_pb2_grpc.add_ImportServiceServicer_to_server, _Uploads()),  # type: ignore[abstract]
        ],
    )
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    server.stop(0)


def test_a_unary_request_out_of_its_rules_is_refused_with_the_fields_path(channel: grpc.Channel) -> None:
    stub: Any = snowflake_service_pb2_grpc.SnowflakeServiceStub(channel)
    metadata = (("authorization", "Bearer good"),)
    request = snowflake_service_pb2.GenerateIdsRequest(count=0)
    with pytest.raises(grpc.RpcError) as caught:
        stub.GenerateIds(request, metadata=metadata)
    refusal = refusal_of(caught.value)
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert [field for field, _ in refusal.violations] == ["count"]
    assert list(stub.GenerateIds(snowflake_service_pb2.GenerateIdsRequest(count=2), metadata=metadata).ids) == [0, 1]
    with pytest.raises(grpc.RpcError) as caught:
        stub.GenerateIds(request)
    assert refusal_of(caught.value).reason == "TOKEN_INVALID"


def test_each_message_of_a_clients_stream_is_checked(channel: grpc.Channel) -> None:
    stub: Any = import_service_pb2_grpc.ImportServiceStub(channel)
    metadata = (("authorization", "Bearer good"),)
    sizes = (262_144, 10)
    good = [import_service_pb2.UploadImportRequest(chunk=b"x" * size) for size in sizes]
    assert stub.UploadImport(iter(good), metadata=metadata).name == str(sum(sizes))
    bad = import_service_pb2.UploadImportRequest(chunk=b"x" * 262_145)
    with pytest.raises(grpc.RpcError) as caught:
        stub.UploadImport(iter([*good, bad]), metadata=metadata)
    assert [field for field, _ in refusal_of(caught.value).violations] == ["chunk"]


def test_a_method_that_is_served_but_not_written_is_unimplemented(channel: grpc.Channel) -> None:
    get: Any = channel.unary_unary("/siloway.region.v1.ImportService/GetImport")
    with pytest.raises(grpc.RpcError) as caught:
        get(b"", metadata=(("authorization", "Bearer good"),))
    assert refusal_of(caught.value).reason == "METHOD_UNKNOWN"


def test_calls_are_counted_by_method_and_code_and_permits_return() -> None:
    def count(method: str, code: str) -> float:
        return REGISTRY.get_sample_value("siloway_rpc_calls_total", {"method": method, "code": code}) or 0

    before = [count(SAY, "OK"), count(SAY, "UNAUTHENTICATED"), count("unknown", "UNIMPLEMENTED")]
    with public_server() as server, Client(server.port) as client, Client(server.port, "wrong") as stranger:
        client.call()
        for refused, method in ((stranger, SAY), (client, f"/{SERVICE}/{id(server)}")):
            with pytest.raises(grpc.RpcError):
                refused.call(method=method)
    after = [count(SAY, "OK"), count(SAY, "UNAUTHENTICATED"), count("unknown", "UNIMPLEMENTED")]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]
    labels = {"door": "public", "budget": "calls"}
    assert REGISTRY.get_sample_value("siloway_rpc_permits_in_use", labels) == 0


def test_a_server_knows_the_methods_that_were_registered() -> None:
    with public_server() as server:
        assert SAY in server.methods
        assert all(name.startswith(f"/{SERVICE}/") for name in server.methods)
