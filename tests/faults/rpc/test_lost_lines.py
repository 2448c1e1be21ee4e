"""The internal channel when its line is cut or deaf: typed errors in time, and then back to work."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from shared import deadline
from shared.errors import DeadlineExceeded, PeerUnavailable, ServiceError
from shared.rpc.channel import InternalChannel
from shared.rpc.methods import Door
from shared.rpc.server import build_server
from tests.integration.rpc.certificates import Authority, as_files
from tests.integration.rpc.words import SAY, Words, add_words, table
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.faults


class _Line:
    """A server, a proxy before it, and a channel through that."""

    def __init__(self, proxy: TcpProxy, channel: InternalChannel) -> None:
        self.proxy = proxy
        self._channel = channel
        self._stub: Any = channel.channel.unary_unary(
            SAY, request_serializer=StringValue.SerializeToString, response_deserializer=StringValue.FromString
        )

    def say(self, *, timeout_s: float = 5) -> str:
        answer: StringValue = self._channel.invoke(self._stub, StringValue(value="hello"), timeout_s=timeout_s)
        return answer.value

    def say_until_answered(self) -> str:
        end = time.monotonic() + 20
        while True:
            try:
                return self.say(timeout_s=2)
            except PeerUnavailable:
                assert time.monotonic() < end


@pytest.fixture
def line(tmp_path: Path) -> Iterator[_Line]:
    authority = Authority.make()
    server = build_server(
        address="127.0.0.1:0",
        table=table(Door.INTERNAL),
        door=Door.INTERNAL,
        servicers=[(add_words, Words())],
        tls=as_files(authority.silo("control"), tmp_path),
    )
    server.start()
    with (
        TcpProxy(server.port) as proxy,
        InternalChannel(proxy.address, peer="control", credentials=authority.silo("us")) as channel,
    ):
        yield _Line(proxy, channel)
    server.stop(0)


def test_a_cut_line_is_unavailable_and_mends_by_itself(line: _Line) -> None:
    assert line.say() == "hello"
    line.proxy.cut()
    with pytest.raises(PeerUnavailable):
        line.say()
    line.proxy.mend()
    assert line.say_until_answered() == "hello"


def test_a_dropped_connection_is_made_again_with_the_next_call(line: _Line) -> None:
    assert line.say() == "hello"
    line.proxy.drop_connections()
    assert line.say_until_answered() == "hello"


def test_a_deaf_line_ends_with_the_time_out_or_the_callers_deadline(line: _Line) -> None:
    assert line.say() == "hello"
    line.proxy.deafen()
    begun = time.monotonic()
    with pytest.raises(PeerUnavailable):
        line.say(timeout_s=0.3)
    with deadline.within(0.3), pytest.raises(DeadlineExceeded):
        line.say()
    assert time.monotonic() - begun < 10, "each has its 0.3 s, and a busy machine the rest"
    line.proxy.mend()
    assert line.say_until_answered() == "hello"


def test_a_line_that_is_cut_during_a_call_never_leaves_the_caller_waiting(line: _Line) -> None:
    line.proxy.slow(0.2)
    failed: list[ServiceError] = []

    def call() -> None:
        try:
            line.say()
        except ServiceError as error:
            failed.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    while line.proxy.accepted == 0:
        threading.Event().wait(0.01)
    line.proxy.cut()
    caller.join(8)
    assert not caller.is_alive()
    assert [type(error) for error in failed] == [PeerUnavailable]
