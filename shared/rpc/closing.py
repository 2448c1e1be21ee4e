"""Refuses calls while a silo is closed, all but those whose row says that they are answered then too.

It stands behind the door's own interceptor: who calls is known by then, and a refusal is told like any other.
"""

from collections.abc import Callable
from typing import Any

import grpc

from shared.rpc.methods import MethodTable

Context = grpc.ServicerContext


class ClosedGate(grpc.ServerInterceptor):
    """`refuse` raises while the silo is closed."""

    def __init__(self, table: MethodTable, refuse: Callable[[], None]) -> None:
        self._table = table
        self._refuse = refuse

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The handler, behind the gate unless its method is answered by a closed silo too."""
        handler = continuation(handler_call_details)
        row = self._table.get(handler_call_details.method)
        if handler is None or row is None or row.open or row.while_closed:
            return handler
        return _gated(handler, self._refuse)


def _gated(handler: Any, refuse: Callable[[], None]) -> Any:
    kind = {
        (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
        (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
        (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
        (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
    }
    name, make = kind[bool(handler.request_streaming), bool(handler.response_streaming)]
    inner = getattr(handler, name)

    def gated(request: Any, context: Context) -> Any:
        refuse()
        return inner(request, context)

    return make(
        gated,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
