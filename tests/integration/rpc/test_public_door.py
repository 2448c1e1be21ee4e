"""The public door through a real channel: who gets in, what is refused, and in which words."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from shared.errors import (
    AlreadyExists,
    Internal,
    InvalidArgument,
    OrganizationNotFound,
    Resource,
    ServiceError,
    StoreUnreachable,
)
from shared.rpc.call import current_call, current_caller, current_request_id, require_organization
from shared.rpc.methods import Budget, Whose
from tests.integration.rpc.words import CHAT, ELSEWHERE, HIDDEN, NARROW, SAY, SERVICE, Client, Words, public_server
from tests.refusals import refusal_of

Context = grpc.ServicerContext


@pytest.fixture
def client() -> Iterator[Client]:
    with public_server() as server, Client(server.port) as client:
        yield client


def test_all_four_kinds_of_method_are_served(client: Client) -> None:
    messages = [StringValue(value=word) for word in ("a", "b", "c")]
    assert client.call("hello") == "hello"
    assert [one.value for one in client.split(StringValue(value="a b"), metadata=client.metadata)] == ["a", "b"]
    assert client.join(iter(messages), metadata=client.metadata).value == "a b c"
    assert [one.value for one in client.chat(iter(messages), metadata=client.metadata)] == ["a", "b", "c"]


def test_a_handler_knows_its_caller_and_request_id_in_unary_calls_and_streams() -> None:
    seen: list[tuple[str, str]] = []

    def say(request: StringValue, _context: Context) -> StringValue:
        seen.append((current_caller().principal, current_request_id()))
        return request

    def chat(requests: Iterator[StringValue], _context: Context) -> Iterator[StringValue]:
        for request in requests:
            seen.append((current_caller().principal, current_request_id()))
            yield request

    with public_server(Words(say=say, chat=chat)) as server, Client(server.port) as client:
        client.call(extra=(("x-request-id", "mine-1"),))
        extra = (*client.metadata, ("x-request-id", "mine-2"))
        list(client.chat(iter([StringValue(value="a"), StringValue(value="b")]), metadata=extra))
    assert seen == [("tokens/7", "mine-1"), ("tokens/7", "mine-2"), ("tokens/7", "mine-2")]
    assert current_call() is None


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ü"])
def test_an_unfit_request_id_is_replaced_and_told(client: Client, given: str) -> None:
    chat: Any = client.channel.stream_stream(CHAT)
    extra = (("x-request-id", given),) if given.isascii() else ()
    call = chat(iter([b""]), metadata=(*client.metadata, *extra))
    told = dict(call.initial_metadata())["x-request-id"]
    assert len(told) == 36
    assert told != given
    list(call)


def test_a_single_answer_has_the_request_id_in_its_trailer(client: Client) -> None:
    say: Any = client.channel.unary_unary(SAY)
    _answer, call = say.with_call(b"", metadata=(*client.metadata, ("x-request-id", "mine-1")))
    assert dict(call.trailing_metadata())["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    ("header", "code", "reason"),
    [
        (None, "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("good", "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("Basic good", "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("Bearer", "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("Bearer wrong-secret", "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("Bearer " + "x" * 600, "UNAUTHENTICATED", "TOKEN_INVALID"),
        ("Bearer old", "UNAUTHENTICATED", "TOKEN_EXPIRED"),
        ("Bearer stranger", "PERMISSION_DENIED", "TOKEN_AUDIENCE"),
    ],
)
def test_a_call_without_a_fitting_token_is_refused(client: Client, header: str | None, code: str, reason: str) -> None:
    client.metadata = (("authorization", header),) if header is not None else ()
    refusal = client.refused()
    assert (refusal.code.name, refusal.reason, refusal.domain) == (code, reason, "siloway")
    assert "wrong-secret" not in refusal.message
    for stream in (
        client.split(StringValue(value="a"), metadata=client.metadata),
        client.chat(iter([StringValue(value="a")]), metadata=client.metadata),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        assert refusal_of(caught.value).reason == reason
    with pytest.raises(grpc.RpcError) as caught:
        client.join(iter([StringValue(value="a")]), metadata=client.metadata)
    assert refusal_of(caught.value).reason == reason


def test_a_missing_scope_is_named(client: Client) -> None:
    refusal = client.refused(method=NARROW)
    assert (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert refusal.metadata == {"scope": "org:admin"}


@pytest.mark.parametrize("method", [HIDDEN, ELSEWHERE, f"/{SERVICE}/Nothing", "/no.Service/Nothing"])
def test_what_has_no_row_on_this_door_is_unknown(client: Client, method: str) -> None:
    refusal = client.refused(method=method)
    assert (refusal.code.name, refusal.reason) == ("UNIMPLEMENTED", "METHOD_UNKNOWN")
    stream: Any = client.channel.stream_unary(method)
    with pytest.raises(grpc.RpcError) as caught:
        stream(iter([]), metadata=client.metadata)
    assert refusal_of(caught.value).reason == "METHOD_UNKNOWN"


def test_case_45_a_refusal_carries_its_details_and_the_request_id() -> None:
    def say(_request: StringValue, _context: Context) -> StringValue:
        raise InvalidArgument.of("commits[3].id", "is missing")

    with public_server(Words(say=say)) as server, Client(server.port) as client:
        refusal = client.refused(extra=(("x-request-id", "mine"),))
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert refusal.violations == [("commits[3].id", "is missing")]
    assert refusal.request_id == "mine"


def test_case_45_an_unexpected_error_is_internal_and_tells_nothing_but_the_request_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def say(_request: StringValue, _context: Context) -> StringValue:
        raise RuntimeError("postgresql://siloway:swordfish@10.0.0.1/control is gone")

    def peer(_request: StringValue, _context: Context) -> Iterator[StringValue]:
        yield StringValue(value="first")
        raise Internal("peer: swordfish", metadata={"peer_reason": "swordfish"})

    with public_server(Words(say=say, split=peer)) as server, Client(server.port) as client:
        refusal = client.refused(extra=(("x-request-id", "mine"),))
        stream = client.split(StringValue(value="x"), metadata=client.metadata)
        assert next(stream).value == "first"
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
    assert (refusal.code.name, refusal.message, refusal.reason) == ("INTERNAL", "internal error", "INTERNAL")
    assert refusal.metadata == {"request_id": "mine"}
    in_stream = refusal_of(caught.value)
    assert (in_stream.code.name, in_stream.message, list(in_stream.metadata)) == (
        "INTERNAL",
        "internal error",
        ["request_id"],
    )
    told = capsys.readouterr().err
    assert '"request_id":"mine"' in told
    assert "RuntimeError" in told
    assert "postgresql://siloway:***@10.0.0.1" in told


def test_a_panic_of_a_native_library_is_an_internal_error_and_costs_no_permit() -> None:
    class Panic(BaseException):
        pass

    def say(_request: StringValue, _context: Context) -> StringValue:
        raise Panic("swordfish")

    def split(_request: StringValue, _context: Context) -> Iterator[StringValue]:
        yield StringValue(value="first")
        raise Panic("swordfish")

    budgets = {Budget.CALLS: 1, Budget.STREAMS: 1, Budget.PEERS: 1}
    with public_server(Words(say=say, split=split), budgets=budgets) as server, Client(server.port) as client:
        for _ in range(3):
            assert client.refused().message == "internal error"
            with pytest.raises(grpc.RpcError) as caught:
                list(client.split(StringValue(value="x"), metadata=client.metadata))
            assert refusal_of(caught.value).reason == "INTERNAL"


@pytest.mark.parametrize(
    "error",
    [
        AlreadyExists(resource=Resource("siloway/Release", "organizations/1/releases/a")),
        StoreUnreachable(retry_after_s=2),
    ],
)
def test_an_error_in_the_middle_of_a_stream_arrives_with_its_reason(error: ServiceError) -> None:
    def middle(requests: Iterator[StringValue], _context: Context) -> Iterator[StringValue]:
        yield next(requests)
        raise error

    with public_server(Words(chat=middle)) as server, Client(server.port) as client:
        stream = client.chat(iter([StringValue(value="a"), StringValue(value="b")]), metadata=client.metadata)
        assert next(stream).value == "a"
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
    refusal = refusal_of(caught.value)
    assert (refusal.code.name, refusal.reason) == (error.code.name, error.reason)
    assert refusal.retry_after_ms == (2000 if error.retry_after_s else None)


def test_a_token_bound_to_an_organization_does_not_learn_of_others() -> None:
    def say(request: StringValue, _context: Context) -> StringValue:
        require_organization(int(request.value))
        return request

    with public_server(Words(say=say)) as server, Client(server.port) as client:
        assert client.call("42") == "42"
        refusal = client.refused(text="43")
    assert (refusal.reason, refusal.message) == (OrganizationNotFound.reason, OrganizationNotFound().message)


@pytest.mark.parametrize("kind", ["say", "split", "join", "chat"])
@pytest.mark.parametrize("place", ["first", "later"])
def test_whatever_kind_a_method_is_a_bound_token_names_no_other_organization(kind: str, place: str) -> None:
    own, other = StringValue(value="organizations/42/releases/1"), StringValue(value="organizations/43/releases/1")
    messages = [other] if place == "first" else [own, other]
    with public_server(whose=Whose.ORGANIZATION) as server, Client(server.port) as client:

        def call(*values: StringValue) -> None:
            if kind == "say":
                client.call(values[-1].value)
            elif kind == "split":
                list(client.split(values[-1], metadata=client.metadata))
            elif kind == "join":
                client.join(iter(values), metadata=client.metadata)
            else:
                list(client.chat(iter(values), metadata=client.metadata))

        call(own)
        with pytest.raises(grpc.RpcError) as caught:
            call(*messages)
    assert refusal_of(caught.value).reason == "ORGANIZATION_NOT_FOUND"


def test_health_is_open_and_answers_when_all_permits_are_taken() -> None:
    entered, leave = threading.Event(), threading.Event()

    def say(request: StringValue, _context: Context) -> StringValue:
        entered.set()
        assert leave.wait(10)
        return request

    budgets = {Budget.CALLS: 1, Budget.STREAMS: 1, Budget.PEERS: 1}
    with public_server(Words(say=say), budgets=budgets) as server, Client(server.port) as client:
        running = client.start(timeout=10)
        assert entered.wait(5)
        health: Any = health_pb2_grpc.HealthStub(client.channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        for service in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == serving
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=5)
        assert next(watch).status == serving
        watch.cancel()
        leave.set()
        running.result()


def test_reflection_needs_a_token_and_lists_only_what_is_served(client: Client) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.ServerReflectionInfo(iter([ask])))
    assert refusal_of(caught.value).reason == "TOKEN_INVALID"
    (answer,) = stub.ServerReflectionInfo(iter([ask]), metadata=client.metadata)
    names = {service.name for service in answer.list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
