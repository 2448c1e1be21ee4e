"""The health service: open on every door, answered without the calls' threads and permits."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

# The library keeps the pool on its class, so all servers of a process share one; its threads start when needed.
_POOL: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")


class Health:
    """What a door says about itself: SERVING from `serving` until `stopping`, NOT_SERVING before and after."""

    def __init__(self) -> None:
        self._servicer = health.HealthServicer(experimental_non_blocking=True, experimental_thread_pool=_POOL)
        self._services: tuple[str, ...] = ("",)
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    def add_to(self, server: grpc.Server) -> None:
        """Serve it."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def serving(self, services: tuple[str, ...]) -> None:
        """Say SERVING for the door as a whole and for each of these services."""
        self._services = ("", *services)
        self._set(health_pb2.HealthCheckResponse.SERVING)

    def stopping(self) -> None:
        """Say NOT_SERVING, for good."""
        self._servicer.enter_graceful_shutdown()

    def _set(self, status: Any) -> None:
        for service in self._services:
            self._servicer.set(service, status)
