"""AuditService on the wire."""

from datetime import UTC, datetime

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.common.v1 import audit_service_pb2 as audit_pb
from siloway.common.v1 import audit_service_pb2_grpc as audit_rpc

from shared.audit import usecases
from shared.audit.domain import AuditEntry, AuditQuery
from shared.database import Database
from shared.names import organization_name, parse_organization
from shared.rpc.call import current_caller
from shared.rpc.methods import Door, Method, Whose

METHODS = (
    Method(
        "/siloway.common.v1.AuditService/ListAuditEntries",
        Door.PUBLIC,
        (usecases.OPERATE, usecases.ADMINISTER),
        whose=Whose.CALLER,
        names=("organization",),
    ),
)


class AuditServicer(audit_rpc.AuditServiceServicer):
    """Serves the entries in one silo's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ListAuditEntries(
        self, request: audit_pb.ListAuditEntriesRequest, context: grpc.ServicerContext
    ) -> audit_pb.ListAuditEntriesResponse:
        del context
        caller, query = current_caller(), _query(request)
        page, token = self._database.read(
            lambda transaction: usecases.list_entries(
                transaction, caller, query, page_size=request.page_size, token=request.page_token
            )
        )
        return audit_pb.ListAuditEntriesResponse(audit_entries=[_entry(entry) for entry in page], next_page_token=token)


def _query(request: audit_pb.ListAuditEntriesRequest) -> AuditQuery:
    # An id that cannot be is nobody's: 0 matches no entry.
    wanted = parse_organization(request.organization, "organization") if request.organization else None
    return AuditQuery(
        organization_id=0 if isinstance(wanted, str) else wanted,
        principal=request.principal,
        action=request.action,
        since=_datetime(request.start_time) if request.HasField("start_time") else None,
        until=_datetime(request.end_time) if request.HasField("end_time") else None,
    )


def _entry(entry: AuditEntry) -> audit_pb.AuditEntry:
    create_time = Timestamp()
    create_time.FromDatetime(entry.at)
    return audit_pb.AuditEntry(
        name=f"auditEntries/{entry.id}",
        create_time=create_time,
        principal=entry.principal,
        action=entry.action,
        organization="" if entry.organization_id is None else organization_name(entry.organization_id),
        target=entry.target,
        request_id=entry.request_id,
        detail=ParseDict(entry.detail, Struct()),
    )


def _datetime(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
