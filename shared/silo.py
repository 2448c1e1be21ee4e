"""What every silo's `serve` is put together from: the public door with the services of every silo, the internal door.

Wiring only: each silo adds its own servicers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from siloway.common.v1 import audit_service_pb2_grpc as audit_rpc
from siloway.common.v1 import doctor_service_pb2_grpc as doctor_rpc
from siloway.common.v1 import outbox_service_pb2_grpc as outbox_rpc
from siloway.common.v1 import request_service_pb2_grpc as request_rpc

from shared import program
from shared.audit.servicer import METHODS as AUDIT_METHODS
from shared.audit.servicer import AuditServicer
from shared.database import Database
from shared.doctor.part import SiloPart
from shared.doctor.servicer import METHODS as DOCTOR_METHODS
from shared.doctor.servicer import DoctorServicer
from shared.outbox.registry import Registry
from shared.outbox.servicer import METHODS as OUTBOX_METHODS
from shared.outbox.servicer import OutboxServicer
from shared.parts import INTERNAL_MESSAGE_BYTES_MAX, Parts
from shared.quota import Quotas
from shared.requests.servicer import METHODS as REQUEST_METHODS
from shared.requests.servicer import RequestServicer
from shared.rpc.admin import AdminServer, Check
from shared.rpc.call import Caller
from shared.rpc.methods import Budget, Door, Method, MethodTable
from shared.rpc.permits import DEFAULT_BUDGETS
from shared.rpc.server import RpcServer, Tls, build_server

COMMON_METHODS = (*REQUEST_METHODS, *OUTBOX_METHODS, *AUDIT_METHODS, *DOCTOR_METHODS)
Servicer = tuple[Callable[[Any, grpc.Server], None], object]


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
    all_checks = {"database": parts.database_answers, **(checks or {})}
    admin = AdminServer(parts.settings.doors.serve_admin_address, checks=all_checks)
    try:
        return program.serve(doors, admin, program.stop_on_signals(), parts.settings.grace_s)
    finally:
        parts.close()
