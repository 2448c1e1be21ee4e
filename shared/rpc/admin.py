"""The admin door of a process: plain HTTP for health checks and Prometheus. It tells states, never data.

Every answer names the process that gave it, so that nobody takes another one at the same port for it.
"""

import json
import os
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from shared.rpc.addresses import PROCESS_HEADER, CannotServe, split

Check = Callable[[], object]
"""Raises, or returns False, when the process is not ready."""


class AdminServer:
    """Serves /healthz (the process lives), /readyz (all `checks` pass) and /metrics from `start` to `stop`.

    Raises CannotServe when the address cannot be bound.
    """

    def __init__(
        self, address: str, *, checks: Mapping[str, Check] | None = None, registry: CollectorRegistry = REGISTRY
    ) -> None:
        host, port = split(address)
        pages = _Pages(checks or {}, registry)
        handler = type("_BoundHandler", (_Handler,), {"pages": pages})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise CannotServe(f"Cannot listen on {address}: {(error.strerror or str(error)).lower()}.") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="admin", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Pages:
    def __init__(self, checks: Mapping[str, Check], registry: CollectorRegistry) -> None:
        self._checks = checks
        self._registry = registry

    def page(self, path: str) -> tuple[int, str, bytes]:
        if path == "/healthz":
            return 200, "text/plain; charset=utf-8", b"ok\n"
        if path == "/readyz":
            states = {name: _passes(check) for name, check in self._checks.items()}
            body = json.dumps({name: "ok" if passes else "failing" for name, passes in states.items()}) + "\n"
            return (200 if all(states.values()) else 503), "application/json", body.encode()
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        return 404, "text/plain; charset=utf-8", b"not found\n"


def _passes(check: Check) -> bool:
    try:
        return check() is not False
    except Exception:  # noqa: BLE001  # whatever a check raises means not ready; its text may hold secrets
        return False


class _Handler(BaseHTTPRequestHandler):
    pages: _Pages
    timeout = 10
    server_version = "siloway"
    sys_version = ""

    def do_GET(self) -> None:
        status, kind, body = self.pages.page(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header(PROCESS_HEADER, str(os.getpid()))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's own signature
        """Say nothing: probes come every few seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        # The library would ask DNS for the host's name here, which may take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
