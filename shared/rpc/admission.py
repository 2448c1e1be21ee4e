"""What a method asks of each call before its handler runs, and how a call ends.

In this order: request id, permit, deadline, authentication, scope, quota. Only this file ends calls with an error, and
nothing but a ServiceError's own words reaches the client.
"""

import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

import grpc

from shared import deadline
from shared.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    PeerRefused,
    ScopeMissing,
    ServiceError,
    Stopping,
    Unimplemented,
)
from shared.rpc import call as current
from shared.rpc import metrics, ownership
from shared.rpc.authentication import Authenticate
from shared.rpc.call import Call, Caller
from shared.rpc.log import bound_logger
from shared.rpc.methods import Door, Method
from shared.rpc.permits import Permits
from shared.rpc.status import DETAILS_KEY, grpc_code, to_status

REQUEST_ID_KEY: Final = "x-request-id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_KEYS_READ: Final = frozenset({REQUEST_ID_KEY, "authorization"})
_MINIMUM_S: Final = 0.02
"""A call with less time than this is refused at once: its answer would come too late."""

Context = grpc.ServicerContext
SpendCall: TypeAlias = Callable[[Caller], None]


class Admission:
    """What one method asks of a call before its handler runs, and tells about it afterwards."""

    def __init__(
        self,
        row: Method | None,
        door: Door,
        authenticate: Authenticate,
        permits: Permits | None,
        stopping: threading.Event,
        *,
        spend_call: SpendCall = lambda _caller: None,
    ) -> None:
        self.row = row
        self.permits = permits
        self.stopping = stopping
        self.spend_call = spend_call
        self._door = door
        self._authenticate = authenticate
        self._meter = metrics.MethodMeter(row.name if row is not None else metrics.UNKNOWN_METHOD)
        self._log = bound_logger()

    def begin(self, context: Context) -> "Running":
        """Name the call; nothing here refuses."""
        metadata = {key: value for key, value in context.invocation_metadata() if key in _KEYS_READ}
        given = metadata.get(REQUEST_ID_KEY)
        request_id = given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        return Running(self, context, metadata, request_id)

    def seconds(self, context: Context) -> float:
        """The time for this call: the client's or the method's own, whichever is less."""
        assert self.row is not None
        given = context.time_remaining()
        seconds = self.row.maximum_s if given is None else min(given, self.row.maximum_s)
        if seconds < _MINIMUM_S:
            raise DeadlineExceeded("Too little time is left to begin.")
        return seconds

    def caller(self, context: Context, metadata: Mapping[str, str | bytes]) -> Caller:
        """Who may call. Raises Unauthenticated, ScopeMissing, PeerRefused, PermissionDenied."""
        assert self.row is not None
        caller = self._authenticate(context, metadata)
        wanted = self.row.scopes
        if wanted and caller.scopes.isdisjoint(wanted):
            if self._door is Door.INTERNAL:
                raise PeerRefused(metadata={"method": self.row.name})
            raise ScopeMissing(f"This needs the scope {' or '.join(wanted)}.", metadata={"scope": ",".join(wanted)})
        ownership.check_caller(self.row, caller)
        return caller

    def ended(self, running: "Running", code: str, error: BaseException | None) -> None:
        """Count and tell the end of a call; an unexpected error is told with its traceback."""
        duration_s = time.perf_counter() - running.started
        self._meter.ended(code, duration_s)
        fields = {
            "request_id": running.request_id,
            "method": self.row.name if self.row is not None else "unknown",
            "principal": running.principal,
            "code": code,
            "duration_ms": round(duration_s * 1000, 2),
        }
        if isinstance(error, ServiceError) and not isinstance(error, Internal):
            self._log.info("call", reason=error.reason, **fields)
        elif error is not None:
            self._log.error("call failed", exc_info=error, **fields)
        else:
            self._log.info("call", **fields)


class Running:
    """One call between its beginning and its end. Used as a context manager around the handler's work."""

    __slots__ = (
        "_admission",
        "_holds_permit",
        "_limit",
        "_metadata",
        "_timer",
        "context",
        "principal",
        "request_id",
        "started",
    )

    def __init__(
        self, admission: Admission, context: Context, metadata: Mapping[str, str | bytes], request_id: str
    ) -> None:
        self._admission = admission
        self._metadata = metadata
        self._holds_permit = False
        self._limit: Any = None
        self._timer: threading.Timer | None = None
        self.context = context
        self.request_id = request_id
        self.principal = ""
        self.started = time.perf_counter()

    def admit(self, *, streaming: bool) -> None:
        """Take a permit, open the deadline, learn who calls. Raises what refuses the call."""
        admission = self._admission
        if admission.row is None or admission.permits is None:
            raise Unimplemented
        if admission.stopping.is_set():
            raise Stopping
        admission.permits.take()
        self._holds_permit = True
        seconds = admission.seconds(self.context)
        self._limit = deadline.within(seconds)
        self._limit.__enter__()
        caller = admission.caller(self.context, self._metadata)
        self.principal = caller.principal
        admission.spend_call(caller)
        current.enter(Call(caller, self.request_id, admission.row.name, admission.stopping))
        if streaming:
            # A stream may wait for its client for ever; the method's own maximum ends that.
            self._timer = threading.Timer(seconds, self.context.cancel)
            self._timer.daemon = True
            self._timer.start()

    def tell_request_id_behind(self) -> None:
        """Give the request id with the trailer of the one answer, as a refusal does: headers of their own cost more
        than the rest of the wrapping, and once they are sent a client's retry policy takes the call as answered.
        """
        if self.context.is_active():
            self.context.set_trailing_metadata(((REQUEST_ID_KEY, self.request_id),))

    def tell_request_id_ahead(self) -> None:
        """Send the request id ahead of the first of many answers, so that it is known while they come."""
        if self.context.is_active():
            self.context.send_initial_metadata(((REQUEST_ID_KEY, self.request_id),))

    def finish(self, error: BaseException | None) -> None:
        """Give everything back and tell the end; then, with an error and a client still there, end the call with it."""
        self._release()
        if error is None or isinstance(error, GeneratorExit):
            self._admission.ended(self, self._code_of_success(), None)
            return
        refusal = error if isinstance(error, ServiceError) else Internal("internal error")
        code = grpc_code(refusal.code)
        if isinstance(refusal, Internal):
            refusal = Internal("internal error", metadata={"request_id": self.request_id})
        is_gone = not self.context.is_active()
        told = error if not (is_gone and isinstance(error, grpc.RpcError)) else Cancelled()
        self._admission.ended(self, "CANCELLED" if told is not error else code.name, told)
        status = to_status(refusal)
        self.context.abort_with_status(_Ending(code, status.message, self._trailing(status.SerializeToString())))

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._limit is not None:
            self._limit.__exit__(None, None, None)
        if self._holds_permit and self._admission.permits is not None:
            self._admission.permits.give_back()

    def _code_of_success(self) -> str:
        if not self.context.is_active():
            return "CANCELLED"
        code = cast(Any, self.context).code()
        return code.name if isinstance(code, grpc.StatusCode) else "OK"

    def _trailing(self, details: bytes) -> tuple[tuple[str, str | bytes], ...]:
        return ((DETAILS_KEY, details), (REQUEST_ID_KEY, self.request_id))


class _Ending(grpc.Status):
    """A status as grpc's abort_with_status takes it."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, str | bytes], ...]) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = trailing
