"""The health service: open on every door, answered without the calls' threads and permits.

Its watchers are told of the stop and then let go, or one of them would hold the stop up for all of the grace time.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

# The library keeps the pool on its class, so all servers of a process share one; its thread starts when needed.
_POOL: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
_TELLING_MAX_S: Final = 1.0


class Health:
    """What a door says about itself: SERVING from `serving` until `stopping`, NOT_SERVING before and after."""

    def __init__(self) -> None:
        self._servicer = _Servicer(experimental_non_blocking=True, experimental_thread_pool=_POOL)
        self._servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)

    def add_to(self, server: grpc.Server) -> None:
        """Serve it."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def serving(self, services: tuple[str, ...]) -> None:
        """Say SERVING for the door as a whole and for each of these services."""
        for service in ("", *services):
            self._servicer.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stopping(self) -> None:
        """Say NOT_SERVING, for good, and end all watches. A watcher that does not listen is not waited for."""
        telling = threading.Thread(target=self._servicer.end, name="health-end", daemon=True)
        telling.start()
        telling.join(_TELLING_MAX_S)


class _Servicer(health.HealthServicer):
    """The library's servicer, which also knows its open watches."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._open: set[Callable[[Any], None]] = set()

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> Any:  # noqa: N802  # gRPC's name
        self._open.add(send_response_callback)
        context.add_callback(lambda: self._open.discard(send_response_callback))
        return super().Watch(request, context, send_response_callback)

    def end(self) -> None:
        self.enter_graceful_shutdown()
        for send in tuple(self._open):
            send(None)
