"""What the programs of every silo are put together from: the database with its identity checked, ids, wake-ups, doors.

Wiring only: each silo adds its own servicers, categories and loops. What is opened here is closed by `Parts.close`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from siloway.common.v1 import audit_service_pb2_grpc as audit_rpc
from siloway.common.v1 import doctor_service_pb2_grpc as doctor_rpc
from siloway.common.v1 import outbox_service_pb2_grpc as outbox_rpc
from siloway.common.v1 import request_service_pb2_grpc as request_rpc

from shared import barrier, program
from shared.audit import store as audit_store
from shared.audit.servicer import METHODS as AUDIT_METHODS
from shared.audit.servicer import AuditServicer
from shared.cleaner import Cleaner, Task
from shared.clock import Clock, SystemClock
from shared.database import Database
from shared.doctor.part import SiloPart
from shared.doctor.servicer import METHODS as DOCTOR_METHODS
from shared.doctor.servicer import DoctorServicer
from shared.identity import SiloIdentity, check_identity
from shared.outbox import cleaner as inbox_cleaner
from shared.outbox import tombstones
from shared.outbox.domain import CHANNEL
from shared.outbox.drainer import Drainer, Transport
from shared.outbox.registry import Registry
from shared.outbox.servicer import METHODS as OUTBOX_METHODS
from shared.outbox.servicer import OutboxServicer
from shared.outbox.settings import DrainerSettings
from shared.quota import Quotas
from shared.redis import RedisLink
from shared.requests import cleaner as request_cleaner
from shared.requests.servicer import METHODS as REQUEST_METHODS
from shared.requests.servicer import RequestServicer
from shared.restoration import Restoration, check_place
from shared.rpc.admin import AdminServer, Check
from shared.rpc.call import Caller
from shared.rpc.channel import Credentials
from shared.rpc.log import configure
from shared.rpc.methods import Budget, Door, Method, MethodTable
from shared.rpc.permits import DEFAULT_BUDGETS
from shared.rpc.server import RpcServer, Tls, build_server
from shared.settings import SiloSettings
from shared.snowflake.allocator import SnowflakeAllocator
from shared.snowflake.domain import LAYOUT_1, LAYOUT_2
from shared.wake import Listener, Waker

INTERNAL_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
REQUEST_RETENTION = timedelta(days=30)
INBOX_RETENTION = timedelta(days=30)
TOMBSTONE_RETENTION = timedelta(days=1)
"""Of deletions that were acknowledged; the others are kept until then."""

_WORK_POOL_SIZE = 8

COMMON_METHODS = (*REQUEST_METHODS, *OUTBOX_METHODS, *AUDIT_METHODS, *DOCTOR_METHODS)
Servicer = tuple[Callable[[Any, grpc.Server], None], object]


@dataclass(frozen=True)
class Parts:
    """The open parts of one process."""

    settings: SiloSettings
    identity: SiloIdentity
    clock: Clock
    database: Database
    ids: SnowflakeAllocator
    waker: Waker
    redis: RedisLink | None
    credentials: Callable[[], Credentials]
    restoration: Restoration

    def close(self) -> None:
        """Close everything; what is still to be told to other processes is told first."""
        self.ids.close()
        self.waker.close()
        self.database.close()
        if self.redis is not None:
            self.redis.close()


def open_parts(settings: SiloSettings, *, id_layout: int = 2, pool_size: int | None = None) -> Parts:
    """Open the parts. Raises StoreUnreachable, WrongSilo; before that nothing has a door."""
    configure(settings.log_level)
    barrier.arm(settings.barriers, settings.name)
    clock = SystemClock()
    database = Database.open(
        settings.database_url,
        clock=clock,
        pool_size=pool_size or settings.pool_size,
        application_name=f"siloway {settings.name}",
    )
    check_identity(database, settings.name, settings.number)
    check_place(database)
    identity = check_identity(database, settings.name, settings.number)
    waker = Waker(settings.database_url)
    database.wake = waker.wake
    return Parts(
        settings=settings,
        identity=identity,
        clock=clock,
        database=database,
        ids=SnowflakeAllocator.open(
            settings.database_url,
            clock=clock,
            number=settings.number,
            layout=LAYOUT_1 if id_layout == 1 else LAYOUT_2,
        ),
        waker=waker,
        redis=RedisLink.open(settings.redis_url, clock=clock) if settings.redis_url else None,
        credentials=Credentials.following(
            certificate_file=settings.doors.cert_file,
            key_file=settings.doors.key_file,
            authority_file=settings.doors.ca_file,
        ),
        restoration=Restoration(database, clock),
    )


def public_door(
    parts: Parts,
    methods: Sequence[Method],
    servicers: Sequence[Servicer],
    authenticate: Callable[[str], Caller],
    budgets: Mapping[Budget, int] = DEFAULT_BUDGETS,
    *,
    sends: Registry,
    doctor: SiloPart,
) -> RpcServer:
    """The door for clients, with the services of every silo besides its own; `sends` is what its outbox sends, `doctor`
    what it adds to the checks.

    Raises CannotServe.
    """
    doors = parts.settings.doors
    tls = None
    if doors.public_cert_file is not None and doors.public_key_file is not None:
        tls = Tls(doors.public_cert_file, doors.public_key_file)
    return build_server(
        address=doors.public_address,
        table=MethodTable.of(*methods, *COMMON_METHODS),
        door=Door.PUBLIC,
        servicers=[*servicers, *common_servicers(parts.database, sends, doctor)],
        authenticate=authenticate,
        refuse_closed=parts.restoration.refuse,
        spend_call=Quotas(parts.redis, clock=parts.clock, silo=parts.identity.name).spend_call,
        tls=tls,
        budgets=budgets,
        allow_plaintext=doors.allow_plaintext,
        share_port=doors.share_ports,
    )


def common_servicers(database: Database, sends: Registry, doctor: SiloPart) -> list[Servicer]:
    """The servicers that every silo has on its public door."""
    return [
        (request_rpc.add_RequestServiceServicer_to_server, RequestServicer(database)),
        (outbox_rpc.add_OutboxServiceServicer_to_server, OutboxServicer(database, sends)),
        (audit_rpc.add_AuditServiceServicer_to_server, AuditServicer(database)),
        (doctor_rpc.add_DoctorServiceServicer_to_server, DoctorServicer(database, doctor)),
    ]


def internal_door(
    parts: Parts,
    methods: Sequence[Method],
    servicers: Sequence[Servicer],
    *,
    admit: Callable[[Caller], None] | None = None,
) -> RpcServer:
    """The door for other silos: mutual TLS always. `admit` may refuse a silo that its certificate lets in.

    Raises CannotServe.
    """
    doors = parts.settings.doors
    return build_server(
        address=doors.internal_address,
        table=MethodTable.of(*methods),
        door=Door.INTERNAL,
        servicers=servicers,
        tls=Tls(doors.cert_file, doors.key_file, doors.ca_file),
        admit=admit,
        refuse_closed=parts.restoration.refuse,
        share_port=doors.share_ports,
        message_bytes_max=INTERNAL_MESSAGE_BYTES_MAX,
    )


def serve(parts: Parts, doors: Sequence[RpcServer], checks: Mapping[str, Check] | None = None) -> int:
    """Serve the doors and the admin door until told to stop; `checks` say besides the database's whether it is ready.

    Returns the exit code.
    """
    all_checks = {"database": _reads(parts.database), **(checks or {})}
    admin = AdminServer(parts.settings.doors.serve_admin_address, checks=all_checks)
    try:
        return program.serve(doors, admin, program.stop_on_signals(), parts.settings.grace_s)
    finally:
        parts.close()


def work(
    parts: Parts,
    *,
    registry: Registry,
    transport: Transport,
    loops: Mapping[str, program.Loop],
    cleaning: Sequence[Task] = (),
) -> int:
    """Drain the outbox, clean, and run the silo's own loops until told to stop, once the silo is open.

    Returns the exit code.
    """
    database = Database.open(
        parts.settings.database_url,
        clock=parts.clock,
        pool_size=_WORK_POOL_SIZE,
        application_name=f"siloway {parts.settings.name} outbox",
    )
    drainer = Drainer(
        database,
        registry,
        transport,
        clock=parts.clock,
        origin=parts.identity.name,
        epoch=parts.identity.epoch,
        settings=DrainerSettings(refusals_max=parts.settings.outbox_refusals_max),
    )
    tasks = (
        Task("requests", REQUEST_RETENTION, request_cleaner.clean, request_cleaner.oldest),
        Task("inbox_subjects", INBOX_RETENTION, inbox_cleaner.clean, inbox_cleaner.oldest),
        Task("tombstones", TOMBSTONE_RETENTION, tombstones.clean, tombstones.oldest),
        Task("audit", timedelta(days=parts.settings.audit_retention_days), audit_store.clean, audit_store.oldest),
        *cleaning,
    )
    all_loops = {
        **loops,
        "outbox": _drain_loop(drainer, parts.settings.database_url),
        "cleaner": Cleaner(parts.database, tasks).run,
    }
    admin = AdminServer(parts.settings.doors.work_admin_address, checks={"database": _reads(parts.database)})
    try:
        opened = {name: parts.restoration.open_loop(loop) for name, loop in all_loops.items()}
        return program.work(opened, admin, program.stop_on_signals(), parts.settings.grace_s)
    finally:
        database.close()
        parts.close()


def _drain_loop(drainer: Drainer, database_url: str) -> program.Loop:
    def run(stop: threading.Event) -> None:
        listener = Listener(database_url, [CHANNEL])
        try:
            drainer.run(stop, listener.wait)
        finally:
            listener.close()

    return run


def _reads(database: Database) -> Callable[[], object]:
    return lambda: database.read(lambda transaction: transaction.now)
