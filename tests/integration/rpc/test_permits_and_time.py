"""How many calls run at once on a door, and how long each may take."""

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from shared import deadline
from shared.errors import (
    ServiceError,
)
from shared.rpc.methods import Budget
from tests.integration.rpc.words import Client, Words, public_server
from tests.refusals import refusal_of

Context = grpc.ServicerContext


def test_without_a_free_permit_a_call_is_refused_at_once_and_other_budgets_are_untouched() -> None:
    entered, leave = threading.Semaphore(0), threading.Event()

    def say(request: StringValue, _context: Context) -> StringValue:
        entered.release()
        assert leave.wait(10)
        return request

    budgets = {Budget.CALLS: 2, Budget.STREAMS: 1, Budget.PEERS: 1}
    with public_server(Words(say=say), budgets=budgets) as server, Client(server.port) as client:
        running = [client.start(str(number), timeout=10) for number in range(2)]
        assert all(entered.acquire(timeout=5) for _ in running)
        refusal = client.refused()
        assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        assert refusal.retry_after_ms == 100
        assert refusal.metadata["budget"] == "calls"
        assert client.join(iter([StringValue(value="a")]), metadata=client.metadata).value == "a"
        leave.set()
        assert [call.result().value for call in running] == ["0", "1"]
        assert client.call("again") == "again"


def test_a_cancelled_stream_gives_its_permit_back_and_closes_the_handler() -> None:
    closed = threading.Event()

    def endless(_request: StringValue, _context: Context) -> Iterator[StringValue]:
        try:
            while True:
                yield StringValue(value="more")
        finally:
            closed.set()

    budgets = {Budget.CALLS: 1, Budget.STREAMS: 1, Budget.PEERS: 1}
    with public_server(Words(split=endless), budgets=budgets) as server, Client(server.port) as client:
        for _ in range(3):
            closed.clear()
            stream = client.split(StringValue(value="x"), metadata=client.metadata)
            assert next(stream).value == "more"
            stream.cancel()
            assert closed.wait(5)
            _until_free(client)


def _until_free(client: Client) -> None:
    for _ in range(200):
        try:
            client.join(iter([]), metadata=client.metadata)
        except grpc.RpcError:
            continue
        return
    raise AssertionError("the permit was not given back")


def test_a_client_that_goes_away_in_its_upload_ends_the_handlers_reading() -> None:
    seen: list[ServiceError] = []
    first, ended, never = threading.Event(), threading.Event(), threading.Event()

    def join(requests: Iterator[StringValue], _context: Context) -> StringValue:
        try:
            for _ in requests:
                first.set()
        except ServiceError as error:
            seen.append(error)
            raise
        finally:
            ended.set()
        return StringValue()

    def half() -> Iterator[StringValue]:
        yield StringValue(value="half")
        never.wait(10)

    with public_server(Words(join=join)) as server, Client(server.port) as client:
        call = client.join.future(half(), metadata=client.metadata)
        assert first.wait(5)
        call.cancel()
        assert ended.wait(5)
        never.set()
    # grpcio may end the iterator before it tells of the cancellation, so a contract needs a last message of its own.
    assert [error.reason for error in seen] in (["CANCELLED"], [])


def test_the_smaller_of_the_clients_and_the_methods_time_holds() -> None:
    left: list[float | None] = []

    def say(request: StringValue, _context: Context) -> StringValue:
        left.append(deadline.remaining_s())
        return request

    with public_server(Words(say=say), maximum_s=3.0) as server, Client(server.port) as client:
        client.call(timeout=60)
        client.call(timeout=1.5)
    assert 2.0 < (left[0] or 0) <= 3.0
    assert 0.5 < (left[1] or 0) < 1.6  # the wire rounds it up


def test_a_call_with_too_little_time_does_not_begin() -> None:
    with public_server(maximum_s=0.01) as server, Client(server.port) as client:
        refusal = client.refused()
    assert (refusal.code.name, refusal.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


def test_a_use_case_that_looks_at_the_deadline_ends_with_the_methods_maximum() -> None:
    def say(_request: StringValue, context: Context) -> StringValue:
        while context.is_active():
            deadline.check()
        return StringValue()

    with public_server(Words(say=say), maximum_s=0.1) as server, Client(server.port) as client:
        refusal = client.refused(timeout=10)
    assert refusal.reason == "DEADLINE_EXCEEDED"


def test_a_stream_of_a_silent_client_ends_with_the_methods_maximum() -> None:
    never = threading.Event()

    def silent() -> Iterator[StringValue]:
        never.wait(10)
        yield from ()

    with public_server(maximum_s=0.2) as server, Client(server.port) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.join(silent(), metadata=client.metadata, timeout=10)
        never.set()
    assert refusal_of(caught.value).code.name in ("CANCELLED", "DEADLINE_EXCEEDED")


def test_a_message_larger_than_allowed_is_refused() -> None:
    with public_server(message_bytes_max=10_000) as server, Client(server.port) as client:
        assert len(client.call("x" * 9_000)) == 9_000
        assert client.refused(text="x" * 11_000).code.name == "RESOURCE_EXHAUSTED"
