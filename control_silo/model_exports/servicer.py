"""ModelExportService on the wire: rows become messages of a bounded size, nothing is decided here.

No transaction is open while a message waits to be taken. A region writes the rows to its disk and waits for nothing
else; one that stops taking them is cut off, for it holds a place and room on control's disk.
"""

from collections.abc import Iterator
from typing import Final

import grpc
from siloway.internal.v1 import model_export_service_pb2 as model_export_pb
from siloway.internal.v1 import model_export_service_pb2_grpc as model_export_rpc

from control_silo.model_exports.usecases import ModelExportUseCases
from shared.exporting.handover import HandedRow, RowsWanted
from shared.exporting.imported import ImportedRow
from shared.importing.registry import ImportScope
from shared.rpc.call import current_caller
from shared.rpc.idle import IdleWatch
from shared.rpc.methods import PEER_REGION, Budget, Door, Method

METHODS: tuple[Method, ...] = (
    Method(
        "/siloway.internal.v1.ModelExportService/ExportRows",
        Door.INTERNAL,
        (PEER_REGION,),
        budget=Budget.STREAMS,
        maximum_s=3000.0,
    ),
    Method(
        "/siloway.internal.v1.ModelExportService/ReadImportedRows",
        Door.INTERNAL,
        (PEER_REGION,),
        budget=Budget.STREAMS,
        maximum_s=3000.0,
    ),
)

_MESSAGE_BYTES = 512 * 1024
_ROW_BYTES = 64
"""About what a row takes besides its fields."""

_UNTAKEN: Final = IdleWatch(60.0)

_SCOPES = {
    model_export_pb.ExportRowsRequest.SCOPE_USER: ImportScope.USER,
    model_export_pb.ExportRowsRequest.SCOPE_ORGANIZATION: ImportScope.ORGANIZATION,
    model_export_pb.ExportRowsRequest.SCOPE_CONFIG: ImportScope.CONFIG,
    model_export_pb.ExportRowsRequest.SCOPE_GLOBAL: ImportScope.GLOBAL,
}


class ModelExportServicer(model_export_rpc.ModelExportServiceServicer):
    """Serves the calling region's own exports."""

    def __init__(self, usecases: ModelExportUseCases) -> None:
        self._usecases = usecases

    def ExportRows(
        self, request: model_export_pb.ExportRowsRequest, context: grpc.ServicerContext
    ) -> Iterator[model_export_pb.ExportRowsResponse]:
        wanted = RowsWanted(
            request.export_id,
            request.principal,
            _SCOPES[request.scope],
            tuple(request.usernames.values) if request.HasField("usernames") else None,
            tuple(request.organizations.ids) if request.HasField("organizations") else None,
        )
        yield from _while_taken(_messages(self._usecases.rows(current_caller().silo or "", wanted)), context)

    def ReadImportedRows(
        self, request: model_export_pb.ReadImportedRowsRequest, context: grpc.ServicerContext
    ) -> Iterator[model_export_pb.ReadImportedRowsResponse]:
        del context
        region = current_caller().silo or ""
        return _imported(self._usecases.imported_rows(region, request.import_id, request.principal, request.model))


def _while_taken(
    messages: Iterator[model_export_pb.ExportRowsResponse], context: grpc.ServicerContext
) -> Iterator[model_export_pb.ExportRowsResponse]:
    """End the call when a message lies untaken for long; how long it takes to make one does not count."""
    with _UNTAKEN.watching(context) as heard:
        heard(busy=True)
        for message in messages:
            heard()
            yield message
            heard(busy=True)


def _messages(rows: Iterator[HandedRow | None]) -> Iterator[model_export_pb.ExportRowsResponse]:
    message, size = model_export_pb.ExportRowsResponse(), 0
    for row in rows:
        if row is None:
            yield model_export_pb.ExportRowsResponse()
            continue
        for piece in _pieces(row):
            length = len(piece.fields) + _ROW_BYTES
            if message.rows and (message.model != row.model or size + length > _MESSAGE_BYTES):
                yield message
                message, size = model_export_pb.ExportRowsResponse(), 0
            message.model = row.model
            message.rows.append(piece)
            size += length
    if message.rows:
        yield message


def _pieces(row: HandedRow) -> Iterator[model_export_pb.ExportRowsResponse.Row]:
    for start in range(0, len(row.fields), _MESSAGE_BYTES):
        end = start + _MESSAGE_BYTES
        yield model_export_pb.ExportRowsResponse.Row(
            pk=row.pk,
            references=[pk or 0 for pk in row.references],
            fields=row.fields[start:end],
            continues=end < len(row.fields),
        )


def _imported(rows: Iterator[ImportedRow]) -> Iterator[model_export_pb.ReadImportedRowsResponse]:
    message, size = model_export_pb.ReadImportedRowsResponse(), 0
    for row in rows:
        for piece in _imported_pieces(row):
            length = len(piece.fields) + _ROW_BYTES
            if message.rows and size + length > _MESSAGE_BYTES:
                yield message
                message, size = model_export_pb.ReadImportedRowsResponse(), 0
            message.rows.append(piece)
            size += length
    if message.rows:
        yield message


def _imported_pieces(row: ImportedRow) -> Iterator[model_export_pb.ReadImportedRowsResponse.Row]:
    for start in range(0, len(row.fields) or 1, _MESSAGE_BYTES):
        end = start + _MESSAGE_BYTES
        yield model_export_pb.ReadImportedRowsResponse.Row(
            ordinal=row.ordinal,
            old_pk=row.old_pk,
            new_pk=row.new_pk,
            decision=row.decision,
            stands=row.stands,
            fields=row.fields[start:end],
            continues=end < len(row.fields),
        )
