"""A service of all four kinds of method whose behaviour each test brings along, and a running server of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from shared.errors import AudienceMismatch, TokenExpired, Unauthenticated
from shared.rpc.call import Caller
from shared.rpc.methods import Budget, Door, Method, MethodTable, Whose
from shared.rpc.server import RpcServer, build_server
from tests.refusals import Refusal, refusal_of

SERVICE = "test.v1.WordsService"
SAY, SPLIT, JOIN, CHAT = (f"/{SERVICE}/{name}" for name in ("Say", "Split", "Join", "Chat"))
HIDDEN, ELSEWHERE, NARROW = (f"/{SERVICE}/{name}" for name in ("Hidden", "Elsewhere", "Narrow"))

Say = Callable[[StringValue, grpc.ServicerContext], StringValue]


def echo(request: StringValue, _context: grpc.ServicerContext) -> StringValue:
    return request


def split(request: StringValue, _context: grpc.ServicerContext) -> Iterator[StringValue]:
    for word in request.value.split():
        yield StringValue(value=word)


def join(requests: Iterator[StringValue], _context: grpc.ServicerContext) -> StringValue:
    return StringValue(value=" ".join(request.value for request in requests))


def chat(requests: Iterator[StringValue], _context: grpc.ServicerContext) -> Iterator[StringValue]:
    yield from requests


@dataclass
class Words:
    say: Any = echo
    split: Any = split
    join: Any = join
    chat: Any = chat
    rows: dict[str, Method] = field(default_factory=dict)


def add_words(words: Any, server: Any) -> None:
    kinds: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    say = grpc.unary_unary_rpc_method_handler(words.say, **kinds)
    handlers = {
        "Say": say,
        "Split": grpc.unary_stream_rpc_method_handler(words.split, **kinds),
        "Join": grpc.stream_unary_rpc_method_handler(words.join, **kinds),
        "Chat": grpc.stream_stream_rpc_method_handler(words.chat, **kinds),
        "Hidden": say,
        "Elsewhere": say,
        "Narrow": say,
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


def table(
    door: Door,
    *,
    maximum_s: float = 10.0,
    scopes: tuple[str, ...] = (),
    narrow: str = "org:admin",
    whose: Whose = Whose.EVERYBODY,
) -> MethodTable:
    """With `whose` ORGANIZATION each message's value is an organization's name, or that of something below it."""
    other = Door.INTERNAL if door is Door.PUBLIC else Door.PUBLIC
    names = ("value",) if whose is Whose.ORGANIZATION else ()
    return MethodTable.of(
        Method(SAY, door, scopes, maximum_s=maximum_s, whose=whose, names=names),
        Method(SPLIT, door, scopes, Budget.STREAMS, maximum_s=maximum_s, whose=whose, names=names),
        Method(JOIN, door, scopes, Budget.STREAMS, maximum_s=maximum_s, whose=whose, names=names),
        Method(CHAT, door, scopes, Budget.STREAMS, maximum_s=maximum_s, whose=whose, names=names),
        Method(ELSEWHERE, other, whose=Whose.EVERYBODY),
        Method(NARROW, door, (narrow,), whose=Whose.EVERYBODY),
    )


CALLERS = {"good": Caller("tokens/7", frozenset({"org:read"}), organization_id=42, token_id=7)}
REFUSALS = {"old": TokenExpired, "stranger": AudienceMismatch}


def authenticate(secret: str) -> Caller:
    if secret in REFUSALS:
        raise REFUSALS[secret]
    if secret not in CALLERS:
        raise Unauthenticated
    return CALLERS[secret]


@contextmanager
def public_server(words: Words | None = None, **settings: Any) -> Iterator[RpcServer]:
    maximum_s, whose = settings.pop("maximum_s", 10.0), settings.pop("whose", Whose.EVERYBODY)
    server = build_server(
        address="127.0.0.1:0",
        table=table(Door.PUBLIC, maximum_s=maximum_s, whose=whose),
        door=Door.PUBLIC,
        servicers=[(add_words, words or Words())],
        authenticate=authenticate,
        **settings,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


class Client:
    """A plain client with the token `good`, or another."""

    def __init__(self, port: int, token: str | None = "good") -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        kinds: dict[str, Any] = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.split: Any = self.channel.unary_stream(SPLIT, **kinds)
        self.join: Any = self.channel.stream_unary(JOIN, **kinds)
        self.chat: Any = self.channel.stream_stream(CHAT, **kinds)
        self._kinds = kinds

    def call(self, text: str = "hello", *, method: str = SAY, timeout: float = 5, extra: Any = ()) -> str:
        answer: StringValue = self.channel.unary_unary(method, **self._kinds)(
            StringValue(value=text), timeout=timeout, metadata=(*self.metadata, *extra)
        )
        return answer.value

    def refused(self, text: str = "hello", **how: Any) -> Refusal:
        """What such a call is refused with."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(text, **how)
        return refusal_of(caught.value)

    def start(self, text: str = "hello", *, timeout: float = 5) -> Any:
        return self.channel.unary_unary(SAY, **self._kinds).future(
            StringValue(value=text), timeout=timeout, metadata=self.metadata
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
