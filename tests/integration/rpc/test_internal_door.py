"""The internal door through real mutual TLS: only a silo passes, and only the expected one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from google.protobuf.wrappers_pb2 import StringValue

from shared import deadline
from shared.embedded.certificates import make_authority
from shared.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    OrganizationNotFound,
    PeerUnavailable,
    Resource,
    ServiceError,
    SlugNotFound,
    StoreUnreachable,
)
from shared.rpc.call import Caller, acting, current_caller, current_request_id
from shared.rpc.channel import Credentials, InternalChannel
from shared.rpc.identity import uri_of
from shared.rpc.methods import PEER_CONTROL, Door
from shared.rpc.server import RpcServer, Tls, build_server
from tests.integration.rpc.certificates import Authority, as_files
from tests.integration.rpc.words import NARROW, SAY, Client, Words, add_words, table
from tests.refusals import refusal_of

KINDS: dict[str, Any] = {
    "request_serializer": StringValue.SerializeToString,
    "response_deserializer": StringValue.FromString,
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


@contextmanager
def _server(tls: Tls, words: Words | None = None, *, narrow: str = PEER_CONTROL) -> Iterator[RpcServer]:
    server = build_server(
        address="127.0.0.1:0",
        table=table(Door.INTERNAL, narrow=narrow),
        door=Door.INTERNAL,
        servicers=[(add_words, words or Words())],
        tls=tls,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


def _say(channel: InternalChannel, text: str = "hello", *, method: str = SAY, timeout_s: float = 5) -> str:
    stub: Any = channel.channel.unary_unary(method, **KINDS)
    answer: StringValue = channel.invoke(stub, StringValue(value=text), timeout_s=timeout_s)
    return answer.value


def _channel(server: RpcServer, credentials: Credentials, *, peer: str = "control") -> InternalChannel:
    return InternalChannel(f"127.0.0.1:{server.port}", peer=peer, credentials=credentials)


def test_a_silo_is_known_by_the_uri_name_of_its_certificate(authority: Authority, tmp_path: Path) -> None:
    callers: list[Caller] = []

    def say(request: StringValue, _context: grpc.ServicerContext) -> StringValue:
        callers.append(current_caller())
        return request

    with (
        _server(as_files(authority.silo("control"), tmp_path), Words(say=say)) as server,
        _channel(server, authority.silo("de")) as channel,
    ):
        assert _say(channel) == "hello"
    assert (callers[0].principal, callers[0].silo) == ("silos/de", "de")


def test_the_local_stacks_certificates_pass(tmp_path: Path) -> None:
    stack = make_authority(tmp_path / "authority")
    certificate_file, key_file = stack.issue(uri_of("control"))
    tls = Tls(certificate_file, key_file, stack.ca_file)
    certificate_file, key_file = stack.issue(uri_of("us"))
    credentials = Credentials.read(certificate_file=certificate_file, key_file=key_file, authority_file=stack.ca_file)
    with _server(tls) as server, _channel(server, credentials) as channel:
        assert _say(channel) == "hello"


@pytest.mark.parametrize(("serving", "expected"), [("us", "control"), ("de", "us"), ("control", "us")])
def test_a_silos_certificate_does_not_pass_for_another_silos(
    authority: Authority, tmp_path: Path, serving: str, expected: str
) -> None:
    with (
        _server(as_files(authority.silo(serving), tmp_path)) as server,
        _channel(server, authority.silo("de"), peer=expected) as channel,
        pytest.raises(PeerUnavailable),
    ):
        _say(channel)


def test_a_server_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    with (
        _server(as_files(Authority.make().silo("control"), tmp_path)) as server,
        _channel(server, authority.silo("us")) as channel,
        pytest.raises(PeerUnavailable),
    ):
        _say(channel)


def test_a_client_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority.make().silo("us")
    credentials = Credentials(stranger.certificate, stranger.key, authority.silo("us").authority)
    with (
        _server(as_files(authority.silo("control"), tmp_path)) as server,
        _channel(server, credentials) as channel,
        pytest.raises(PeerUnavailable),
    ):
        _say(channel)


def test_a_client_without_a_certificate_or_in_plain_text_is_refused(authority: Authority, tmp_path: Path) -> None:
    with _server(as_files(authority.silo("control"), tmp_path)) as server:
        bare = grpc.secure_channel(
            f"127.0.0.1:{server.port}",
            grpc.ssl_channel_credentials(authority.silo("us").authority),
            options=[("grpc.ssl_target_name_override", "control.siloway.internal")],
        )
        call: Any = bare.unary_unary(SAY)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
        bare.close()
        assert refusal_of(caught.value).code is grpc.StatusCode.UNAVAILABLE
        with Client(server.port) as plain, pytest.raises(grpc.RpcError) as caught:
            plain.call()
        assert refusal_of(caught.value).code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "uris", [(), (uri_of("us"), uri_of("de")), ("spiffe://elsewhere/control",), ("spiffe://siloway/region/",)]
)
def test_a_client_without_exactly_one_silos_uri_is_unauthenticated(
    authority: Authority, tmp_path: Path, uris: tuple[str, ...]
) -> None:
    credentials = authority.issue([x509.UniformResourceIdentifier(uri) for uri in uris])
    with (
        _server(as_files(authority.silo("control"), tmp_path)) as server,
        _channel(server, credentials) as channel,
    ):
        call: Any = channel.channel.unary_unary(SAY)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
    assert refusal_of(caught.value).code is grpc.StatusCode.UNAUTHENTICATED


def test_a_dns_name_that_reads_like_a_uri_name_is_no_identity(authority: Authority, tmp_path: Path) -> None:
    credentials = authority.issue([x509.DNSName(uri_of("us"))])
    with (
        _server(as_files(authority.silo("control"), tmp_path)) as server,
        _channel(server, credentials) as channel,
    ):
        call: Any = channel.channel.unary_unary(SAY)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
    assert refusal_of(caught.value).code is grpc.StatusCode.UNAUTHENTICATED


def test_a_method_for_control_is_refused_to_a_region(authority: Authority, tmp_path: Path) -> None:
    with _server(as_files(authority.silo("us"), tmp_path)) as server:
        with _channel(server, authority.silo("control"), peer="us") as channel:
            assert _say(channel, method=NARROW) == "hello"
        with _channel(server, authority.silo("de"), peer="us") as channel:
            call: Any = channel.channel.unary_unary(NARROW)
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=5)
    assert refusal_of(caught.value).reason == "PEER_REFUSED"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (InvalidArgument.of("slug", "is too long"), Internal),
        (SlugNotFound(resource=Resource("slug", "slugReservations/x")), SlugNotFound),
        (OrganizationNotFound(), OrganizationNotFound),
        (StoreUnreachable(), PeerUnavailable),
        (DeadlineExceeded(), PeerUnavailable),
    ],
)
def test_case_45_a_peers_refusal_becomes_ours_on_purpose(
    authority: Authority, tmp_path: Path, raised: ServiceError, expected: type[ServiceError]
) -> None:
    def say(_request: StringValue, _context: grpc.ServicerContext) -> StringValue:
        raise raised

    with (
        _server(as_files(authority.silo("control"), tmp_path), Words(say=say)) as server,
        _channel(server, authority.silo("us")) as channel,
        pytest.raises(expected) as caught,
    ):
        _say(channel)
    assert type(caught.value) is expected
    if expected is not Internal:
        assert caught.value.resource == raised.resource


def test_unavailable_is_tried_again_and_nothing_else_is(authority: Authority, tmp_path: Path) -> None:
    tries: list[str] = []

    def say(request: StringValue, _context: grpc.ServicerContext) -> StringValue:
        tries.append(request.value)
        if request.value == "not found":
            raise SlugNotFound
        if len(tries) < 3:
            raise StoreUnreachable
        return request

    with (
        _server(as_files(authority.silo("control"), tmp_path), Words(say=say)) as server,
        _channel(server, authority.silo("us")) as channel,
    ):
        assert _say(channel, "third time") == "third time"
        assert tries == ["third time"] * 3
        tries.clear()
        with pytest.raises(SlugNotFound):
            _say(channel, "not found")
        assert tries == ["not found"]


def test_the_callers_deadline_and_request_id_go_along(authority: Authority, tmp_path: Path) -> None:
    seen: list[tuple[str, float | None]] = []

    def say(request: StringValue, _context: grpc.ServicerContext) -> StringValue:
        seen.append((current_request_id(), deadline.remaining_s()))
        return request

    with (
        _server(as_files(authority.silo("control"), tmp_path), Words(say=say)) as server,
        _channel(server, authority.silo("us")) as channel,
        acting(Caller("tokens/7"), method="/x/Y", request_id="mine"),
    ):
        _say(channel)
        with deadline.within(3.0):
            _say(channel, timeout_s=8.0)
        with deadline.within(0.01), pytest.raises(DeadlineExceeded):
            _say(channel)
    assert [request_id for request_id, _ in seen] == ["mine", "mine"]
    # What is over the caller's three seconds is the channel's own five; both have begun to run out.
    assert 3.1 < (seen[0][1] or 0) < 5.1
    assert 0 < (seen[1][1] or 0) < 3.1


def test_our_own_deadline_is_told_as_ours_and_a_slow_peer_as_unavailable(authority: Authority, tmp_path: Path) -> None:
    leave = threading.Event()

    def say(request: StringValue, _context: grpc.ServicerContext) -> StringValue:
        assert leave.wait(10)
        return request

    with (
        _server(as_files(authority.silo("control"), tmp_path), Words(say=say)) as server,
        _channel(server, authority.silo("us")) as channel,
    ):
        with pytest.raises(PeerUnavailable):
            _say(channel, timeout_s=0.2)
        with deadline.within(0.3), pytest.raises(DeadlineExceeded):
            _say(channel)
        leave.set()


def test_a_peer_that_is_not_there_is_unavailable(authority: Authority) -> None:
    with (
        InternalChannel("127.0.0.1:1", peer="control", credentials=authority.silo("us")) as channel,
        pytest.raises(PeerUnavailable),
    ):
        _say(channel, timeout_s=2)
