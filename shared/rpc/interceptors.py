"""What happens around every handler, in this order: request id, permit, deadline, authentication, scope, quota, checks
of the messages, and the one place where a refusal becomes a status.

Everything that depends on the method alone is put together once per method. Only this file ends calls with an error,
and nothing but a ServiceError's own words reaches the client.

A permit is taken when the handler's thread begins, after a unary request's message has come; calls that never send
theirs are bounded by the server's last wall and by the age of their connection. A stream that reaches its method's
maximum while the client is silent is cut, and its client sees CANCELLED.
"""

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
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
from shared.rpc import metrics, ownership, validation
from shared.rpc.authentication import Authenticate
from shared.rpc.call import Call, Caller
from shared.rpc.idle import IdleWatch
from shared.rpc.log import bound_logger
from shared.rpc.methods import Budget, Door, Method, MethodTable
from shared.rpc.permits import Permits
from shared.rpc.status import DETAILS_KEY, grpc_code, to_status

REQUEST_ID_KEY: Final = "x-request-id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MINIMUM_S: Final = 0.02
"""A call with less time than this is refused at once: its answer would come too late."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.ServicerContext
SpendCall: TypeAlias = Callable[[Caller], None]


class Interceptor(grpc.ServerInterceptor):
    """Wraps each method's handler once. A method without a row, or of another door, is not served."""

    def __init__(
        self,
        table: MethodTable,
        door: Door,
        authenticate: Authenticate,
        permits: Mapping[Budget, Permits],
        spend_call: SpendCall = lambda _caller: None,
    ) -> None:
        self._table = table
        self._door = door
        self._authenticate = authenticate
        self._permits = permits
        self._spend_call = spend_call
        self._wrapped: dict[str, Handler] = {}
        self._stopping = threading.Event()
        unknown = _Admission(None, door, authenticate, None, self._stopping)
        self._unknown = _stream_stream(unknown, _refuse_unknown, None)

    def refuse_new_calls(self) -> None:
        """From now on a call that begins is told that the server stops; those that run go on."""
        self._stopping.set()

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The wrapped handler of a method; open methods (health) stay as they are."""
        name = handler_call_details.method
        wrapped = self._wrapped.get(name)
        if wrapped is not None:
            return wrapped
        row = self._table.get(name)
        handler = continuation(handler_call_details) if row is not None else None
        if row is None or handler is None or not (row.open or row.door is self._door):
            return self._unknown
        wrapped = handler if row.open else self._wrap(row, handler)
        self._wrapped[name] = wrapped
        return wrapped

    def _wrap(self, row: Method, handler: Handler) -> Handler:
        permits, spend_call = self._permits[row.budget], self._spend_call
        admission = _Admission(row, self._door, self._authenticate, permits, self._stopping, spend_call=spend_call)
        if handler.request_streaming and handler.response_streaming:
            return _stream_stream(admission, handler.stream_stream, handler)
        if handler.request_streaming:
            return _stream_unary(admission, handler.stream_unary, handler)
        if handler.response_streaming:
            return _unary_stream(admission, handler.unary_stream, handler)
        return _unary_unary(admission, handler.unary_unary, handler)


class _Admission:
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

    def begin(self, context: Context) -> "_Running":
        """Name the call; nothing here refuses."""
        metadata = {key: value for key, value in context.invocation_metadata() if key in _KEYS_READ}
        given = metadata.get(REQUEST_ID_KEY)
        request_id = given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        return _Running(self, context, metadata, request_id)

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

    def ended(self, running: "_Running", code: str, error: BaseException | None) -> None:
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


class _Running:
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
        self, admission: _Admission, context: Context, metadata: Mapping[str, str | bytes], request_id: str
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
        current.enter(Call(caller, self.request_id, admission.row.name))
        if streaming:
            # A stream may wait for its client for ever; the method's own maximum ends that.
            self._timer = threading.Timer(seconds, self.context.cancel)
            self._timer.daemon = True
            self._timer.start()

    def tell_request_id(self) -> None:
        """Send the request id ahead of the first answer.

        A refusal has it in its trailer: once headers are sent, a client's retry policy takes the call as answered.
        """
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


_NOTHING: Final = object()
_IDLE: Final = IdleWatch()
_KEYS_READ: Final = frozenset({REQUEST_ID_KEY, "authorization"})


def _unary_unary(admission: _Admission, behavior: Any, handler: Handler) -> Handler:
    def serve(request: Any, context: Context) -> Any:
        running = admission.begin(context)
        error: BaseException | None = None
        answer = None
        try:
            running.admit(streaming=False)
            ownership.check_message(admission.row, request)
            answer = behavior(request, context)
            running.tell_request_id()
        except BaseException as raised:  # noqa: BLE001  # the boundary; a panic in a native library is no Exception
            error = raised
        running.finish(error)
        return answer

    return grpc.unary_unary_rpc_method_handler(
        serve, validation.readable(handler.request_deserializer), handler.response_serializer
    )


def _stream_unary(admission: _Admission, behavior: Any, handler: Handler) -> Handler:
    def serve(requests: Iterator[Any], context: Context) -> Any:
        running = admission.begin(context)
        error: BaseException | None = None
        answer = None
        try:
            running.admit(streaming=True)
            answer = behavior(_checked(requests, context), context)
            running.tell_request_id()
        except BaseException as raised:  # noqa: BLE001  # as above
            error = raised
        running.finish(error)
        return answer

    return grpc.stream_unary_rpc_method_handler(
        serve, validation.readable(handler.request_deserializer), handler.response_serializer
    )


def _unary_stream(admission: _Admission, behavior: Any, handler: Handler) -> Handler:
    def start(request: Any, context: Context) -> Iterator[Any]:
        ownership.check_message(admission.row, request)
        answers: Iterator[Any] = behavior(request, context)
        return answers

    def serve(request: Any, context: Context) -> Iterator[Any]:
        return _answers(admission, start, request, context)

    return grpc.unary_stream_rpc_method_handler(
        serve, validation.readable(handler.request_deserializer), handler.response_serializer
    )


def _stream_stream(admission: _Admission, behavior: Any, handler: "Handler | None") -> Handler:
    def start(requests: Iterator[Any], context: Context) -> Iterator[Any]:
        answers: Iterator[Any] = behavior(_checked(requests, context), context)
        return answers

    def serve(requests: Iterator[Any], context: Context) -> Iterator[Any]:
        return _answers(admission, start, requests, context)

    return grpc.stream_stream_rpc_method_handler(
        serve,
        validation.readable(handler.request_deserializer) if handler is not None else None,
        handler.response_serializer if handler is not None else None,
    )


def _answers(
    admission: _Admission, start: Callable[[Any, Context], Iterator[Any]], request: Any, context: Context
) -> Iterator[Any]:
    """The handler's answers. Closing it (the client has gone) closes the handler's own generator too."""
    running = admission.begin(context)
    error: BaseException | None = None
    answers: Any = None
    try:
        running.admit(streaming=True)
        answers = iter(start(request, context))
        first = next(answers, _NOTHING)
        running.tell_request_id()
        if first is not _NOTHING:
            yield first
            yield from answers
    except GeneratorExit as closed:
        error = closed
        raise
    except BaseException as raised:  # noqa: BLE001  # as above
        error = raised
    finally:
        try:
            if hasattr(answers, "close"):
                answers.close()
        finally:
            running.finish(error)


def _checked(requests: Iterator[Any], context: Context) -> Iterator[Any]:
    """A client's messages, each checked; a client that went away is Cancelled.

    grpcio sometimes learns of that only after it has ended the iterator. So the end of a client's stream alone never
    means that all was sent: a contract in which that matters has a last message of its own.
    """
    with _IDLE.watching(context) as heard:
        while True:
            try:
                request = next(requests)
            except StopIteration:
                if not context.is_active():
                    raise Cancelled from None
                return
            except grpc.RpcError as gone:
                deadline.check()
                raise Cancelled from gone
            heard()
            validation.check(request)
            yield request
            heard()


def _refuse_unknown(_requests: Iterator[Any], _context: Context) -> Iterator[Any]:
    raise Unimplemented
