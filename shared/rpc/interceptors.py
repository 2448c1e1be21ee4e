"""What happens around every handler: a call is admitted, its messages are checked, and a refusal becomes a status.

Everything that depends on the method alone is put together once per method.

A permit is taken when the handler's thread begins, after a unary request's message has come; calls that never send
theirs are bounded by the server's last wall and by the age of their connection. A stream that reaches its method's
maximum while the client is silent is cut, and its client sees CANCELLED.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import grpc

from shared import deadline
from shared.errors import Cancelled, Unimplemented
from shared.rpc import ownership, validation
from shared.rpc.admission import Admission, Context, SpendCall
from shared.rpc.authentication import Authenticate
from shared.rpc.call import Caller, current_caller
from shared.rpc.idle import IdleWatch
from shared.rpc.methods import Budget, Door, Method, MethodTable
from shared.rpc.permits import Permits

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_NOTHING: Final = object()
_IDLE: Final = IdleWatch()


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
        unknown = Admission(None, door, authenticate, None, self._stopping)
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
        admission = Admission(row, self._door, self._authenticate, permits, self._stopping, spend_call=spend_call)
        if handler.request_streaming and handler.response_streaming:
            return _stream_stream(admission, handler.stream_stream, handler)
        if handler.request_streaming:
            return _stream_unary(admission, handler.stream_unary, handler)
        if handler.response_streaming:
            return _unary_stream(admission, handler.unary_stream, handler)
        return _unary_unary(admission, handler.unary_unary, handler)


def _unary_unary(admission: Admission, behavior: Any, handler: Handler) -> Handler:
    def serve(request: Any, context: Context) -> Any:
        running = admission.begin(context)
        error: BaseException | None = None
        answer = None
        try:
            running.admit(streaming=False)
            ownership.check_message(admission.row, request, current_caller())
            answer = behavior(request, context)
            running.tell_request_id_behind()
        except BaseException as raised:  # noqa: BLE001  # the boundary; a panic in a native library is no Exception
            error = raised
        running.finish(error)
        return answer

    return grpc.unary_unary_rpc_method_handler(
        serve, validation.readable(handler.request_deserializer), handler.response_serializer
    )


def _stream_unary(admission: Admission, behavior: Any, handler: Handler) -> Handler:
    def serve(requests: Iterator[Any], context: Context) -> Any:
        running = admission.begin(context)
        error: BaseException | None = None
        answer = None
        try:
            running.admit(streaming=True)
            answer = behavior(_checked(admission.row, requests, context), context)
            running.tell_request_id_behind()
        except BaseException as raised:  # noqa: BLE001  # as above
            error = raised
        running.finish(error)
        return answer

    return grpc.stream_unary_rpc_method_handler(
        serve, validation.readable(handler.request_deserializer), handler.response_serializer
    )


def _unary_stream(admission: Admission, behavior: Any, handler: Handler) -> Handler:
    def start(request: Any, context: Context) -> Iterator[Any]:
        ownership.check_message(admission.row, request, current_caller())
        answers: Iterator[Any] = behavior(request, context)
        return answers

    def serve(request: Any, context: Context) -> Iterator[Any]:
        return _answers(admission, start, request, context)

    return grpc.unary_stream_rpc_method_handler(
        serve, validation.readable(handler.request_deserializer), handler.response_serializer
    )


def _stream_stream(admission: Admission, behavior: Any, handler: "Handler | None") -> Handler:
    def start(requests: Iterator[Any], context: Context) -> Iterator[Any]:
        answers: Iterator[Any] = behavior(_checked(admission.row, requests, context), context)
        return answers

    def serve(requests: Iterator[Any], context: Context) -> Iterator[Any]:
        return _answers(admission, start, requests, context)

    return grpc.stream_stream_rpc_method_handler(
        serve,
        validation.readable(handler.request_deserializer) if handler is not None else None,
        handler.response_serializer if handler is not None else None,
    )


def _answers(
    admission: Admission, start: Callable[[Any, Context], Iterator[Any]], request: Any, context: Context
) -> Iterator[Any]:
    """The handler's answers. Closing it (the client has gone) closes the handler's own generator too."""
    running = admission.begin(context)
    error: BaseException | None = None
    answers: Any = None
    try:
        running.admit(streaming=True)
        answers = iter(start(request, context))
        first = next(answers, _NOTHING)
        running.tell_request_id_ahead()
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


def _checked(row: Method | None, requests: Iterator[Any], context: Context) -> Iterator[Any]:
    return _checked_for(current_caller(), row, requests, context)  # whichever thread takes the messages


def _checked_for(caller: Caller, row: Method | None, requests: Iterator[Any], context: Context) -> Iterator[Any]:
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
            heard(busy=True)
            ownership.check_message(row, request, caller)
            yield request
            heard()


def _refuse_unknown(_requests: Iterator[Any], _context: Context) -> Iterator[Any]:
    raise Unimplemented
