"""One door of a process: a grpc server with all interceptors, health, and on the public door reflection.

Nothing is served that has no row in the table. Plain text is for loopback addresses; the internal door is mutual TLS
always. A taken port is an error unless sharing it is asked for. Stopping says so, takes nothing new, and lets what runs
finish within the grace time.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_reflection.v1alpha import reflection

from shared.rpc.addresses import CannotServe, check_free, is_loopback, split
from shared.rpc.authentication import admitted, by_certificate, by_token
from shared.rpc.call import Caller
from shared.rpc.closing import ClosedGate
from shared.rpc.health import Health
from shared.rpc.interceptors import Interceptor
from shared.rpc.methods import CONNECTION_GRACE_S, Budget, Door, MethodTable
from shared.rpc.pem_files import PemFiles, Pems
from shared.rpc.permits import DEFAULT_BUDGETS, Permits

_SPARE_THREADS: Final = 8
"""Threads beyond all permits: they answer health and refuse what finds no permit."""

_MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
_CONNECTION_AGE_MS: Final = 300_000
_Add = Callable[[Any, grpc.Server], None]


@dataclass(frozen=True)
class Tls:
    """PEM files of a door. `client_authority_file` makes it mutual: then clients must show a certificate it signed."""

    certificate_file: Path
    key_file: Path
    client_authority_file: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """What the files hold when a client connects. Raises CannotServe when one cannot be read or does not fit."""
        files = PemFiles(self.certificate_file, self.key_file, self.client_authority_file)
        in_use = files.current()

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal in_use
            found = files.current()
            if found == in_use:
                return None
            in_use = found
            return _configuration(found)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(in_use),
            newer,  # type: ignore[arg-type]  # None: as before, grpc's own words
            require_client_authentication=self.client_authority_file is not None,
        )


def _configuration(pems: Pems) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.certificate)], pems.authority)


class RpcServer:
    """A door that is bound but not yet serving. `methods` are the full names of what was registered."""

    def __init__(
        self,
        server: grpc.Server,
        pool: ThreadPoolExecutor,
        health: Health,
        interceptor: Interceptor,
        permits: Mapping[Budget, Permits],
        *,
        port: int,
        methods: frozenset[str],
    ) -> None:
        self.port = port
        self.methods = methods
        self._server = server
        self._pool = pool
        self._health = health
        self._interceptor = interceptor
        self._permits = permits

    def start(self) -> None:
        """Take calls, and say so in health."""
        self._server.start()
        self._health.serving(tuple(sorted({name.split("/")[1] for name in self.methods})))

    def stop(self, grace_s: float) -> bool:
        """Take no more calls, wait up to `grace_s` for those that run, cancel the rest. True when none was left."""
        self._health.stopping()
        self._interceptor.refuse_new_calls()
        self._server.stop(grace_s).wait()
        drained = not any(permits.in_use for permits in self._permits.values())
        self._pool.shutdown(wait=drained, cancel_futures=True)
        return drained


def build_server(
    *,
    address: str,
    table: MethodTable,
    door: Door,
    servicers: Sequence[tuple[_Add, object]],
    authenticate: Callable[[str], Caller] | None = None,
    spend_call: Callable[[Caller], None] = lambda _caller: None,
    admit: Callable[[Caller], None] | None = None,
    refuse_closed: Callable[[], None] = lambda: None,
    tls: Tls | None = None,
    budgets: Mapping[Budget, int] = DEFAULT_BUDGETS,
    allow_plaintext: bool = False,
    share_port: bool = False,
    message_bytes_max: int = _MESSAGE_BYTES_MAX,
) -> RpcServer:
    """A bound server for `door` on `address` (port 0: any free one; see RpcServer.port).

    `servicers` are pairs of a generated add_..._to_server and its servicer. The public door wants `authenticate`, which
    makes a caller of a token's secret or raises Unauthenticated; on the internal door the certificate tells who calls.
    `admit` may refuse a caller that was told so; `spend_call` counts each call that has a scope that suffices, or
    refuses it; `refuse_closed` raises while the silo is closed. Raises CannotServe with one line.
    """
    authentication = by_certificate if door is Door.INTERNAL else by_token(_required(authenticate))
    if admit is not None:
        authentication = admitted(authentication, admit)
    permits = {budget: Permits(door, budget, budgets[budget]) for budget in Budget}
    threads = sum(budgets.values()) + _SPARE_THREADS
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"rpc-{door.value}")
    interceptor = Interceptor(table, door, authentication, permits, spend_call)
    server = grpc.server(
        pool,
        interceptors=[interceptor, ClosedGate(table, refuse_closed)],
        options=_options(share_port=share_port, message_bytes_max=message_bytes_max),
        # The last wall: this many may wait for a thread; it refuses without details.
        maximum_concurrent_rpcs=threads * 4,
    )
    health = Health()
    health.add_to(server)
    registered = _Registered(server)
    for add, servicer in servicers:
        add(servicer, registered)  # type: ignore[arg-type]  # it has what generated code calls
    if door is Door.PUBLIC:
        services = {name.split("/")[1] for name in registered.methods}
        reflection.enable_server_reflection(
            (*sorted(services), "grpc.health.v1.Health", reflection.SERVICE_NAME), server
        )
    try:
        port = _bind(server, address, door, tls, allow_plaintext=allow_plaintext, share_port=share_port)
    except CannotServe:
        pool.shutdown(wait=False)
        raise
    return RpcServer(server, pool, health, interceptor, permits, port=port, methods=frozenset(registered.methods))


class _Registered:
    """Passes registrations on to the server and keeps the methods' names."""

    def __init__(self, server: grpc.Server) -> None:
        self._server: Any = server
        self.methods: set[str] = set()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self.methods.update(f"/{service}/{method}" for method in handlers)
        self._server.add_registered_method_handlers(service, handlers)


def _required(authenticate: Callable[[str], Caller] | None) -> Callable[[str], Caller]:
    assert authenticate is not None, "this door needs a way to authenticate tokens"
    return authenticate


def _options(*, share_port: bool, message_bytes_max: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", int(share_port)),
        ("grpc.max_receive_message_length", message_bytes_max),
        ("grpc.max_send_message_length", message_bytes_max),
        # A client's channel sticks to one process; its connection ends now and then, so that calls spread again.
        ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_S * 1000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _bind(
    server: grpc.Server, address: str, door: Door, tls: Tls | None, *, allow_plaintext: bool, share_port: bool
) -> int:
    host, _ = split(address)
    if door is Door.INTERNAL and (tls is None or tls.client_authority_file is None):
        raise CannotServe(f"The internal door on {address} needs a certificate, its key, and the silos' authority.")
    if tls is None and not is_loopback(host) and not allow_plaintext:
        raise CannotServe(f"Will not serve plain text on {address}: set up TLS, or allow plain text explicitly.")
    if not share_port:
        check_free(address)
    try:
        if tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, tls.credentials())
    except (RuntimeError, ValueError) as error:
        what = "with this certificate and key" if tls is not None else "there"
        raise CannotServe(f"Cannot listen on {address} {what}.") from error
