"""The call at hand, as a context variable: who calls, under which request id, which method.

The interceptors open it before the handler runs; servicers and use cases only ask. It knows neither gRPC nor generated
code, so that use cases may import it.
"""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from shared.errors import InvalidArgument, OrganizationNotFound, Resource
from shared.requests.domain import Mutation, fingerprint


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `organization_id` binds the caller to one organization; `silo` is set on the internal door only.

    With a `user_id` the caller acts as that user and sees what the user's memberships show. Quotas are per minute, 0 is
    none.
    """

    principal: str
    scopes: frozenset[str] = frozenset()
    organization_id: int | None = None
    silo: str | None = None
    token_id: int | None = None
    user_id: int | None = None
    calls_per_minute: int = 0
    ids_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One call after authentication. `request_id` names the call in logs; it is no mutation's request id. `stopping` is
    set when the server stops.
    """

    caller: Caller
    request_id: str
    method: str
    stopping: threading.Event | None = None


class MutatingRequest(Protocol):
    """A generated request message with a request id."""

    request_id: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


_CURRENT: ContextVar[Call | None] = ContextVar("current_call", default=None)


def enter(call: Call) -> None:
    """Make it the current call for the rest of this context; every call has a context of its own."""
    _CURRENT.set(call)


@contextmanager
def acting(caller: Caller, *, method: str, request_id: str | None = None) -> Iterator[Call]:
    """Run the enclosed work as a call of `caller`: for work that continues a call in another process."""
    call = Call(caller, request_id or str(uuid.uuid4()), method)
    reset = _CURRENT.set(call)
    try:
        yield call
    finally:
        _CURRENT.reset(reset)


def current_call() -> Call | None:
    """The current call, or None outside of one and before its authentication."""
    return _CURRENT.get()


def current_caller() -> Caller:
    """Who calls. Outside of a call it is a programmer's error."""
    return _required().caller


def is_stopping() -> bool:
    """Whether the server that serves this call is stopping: a call that could go on for long ends then."""
    stopping = _required().stopping
    return stopping is not None and stopping.is_set()


def current_request_id() -> str:
    """The id under which the logs of all silos tell of this call."""
    return _required().request_id


def mutation(message: MutatingRequest, *fingerprint_parts: object) -> Mutation:
    """The request record's key and fingerprint for the current call.

    The parts stand for what was asked, ids in place of slugs (house.md 6); without parts the whole message does, its
    request id aside. Raises InvalidArgument for `request_id` when that is no UUID.
    """
    call = _required()
    try:
        request_id = str(uuid.UUID(message.request_id)) if len(message.request_id) == 36 else ""
    except ValueError:
        request_id = ""
    if not request_id:
        raise InvalidArgument.of("request_id", "must be a UUID, like 6f1b0f0e-93c5-4d5c-8d2e-0a4f6f2f7a11")
    parts = fingerprint_parts or (_without_request_id(message),)
    return Mutation(call.caller.principal, request_id, call.method, fingerprint(*parts))


def require_organization(organization_id: int) -> None:
    """Refuse a caller that is bound to another organization, in the words for an organization that is not there."""
    bound_to = current_caller().organization_id
    if bound_to is not None and bound_to != organization_id:
        raise OrganizationNotFound(resource=Resource("siloway/Organization", f"organizations/{organization_id}"))


def _required() -> Call:
    call = _CURRENT.get()
    assert call is not None, "no call is being served"
    return call


def _without_request_id(message: MutatingRequest) -> bytes:
    bare = type(message)()
    bare.CopyFrom(message)  # type: ignore[attr-defined]  # generated messages have it
    bare.request_id = ""
    return bare.SerializeToString(deterministic=True)
