"""The exporter's control, over the internal door."""

from collections.abc import Iterator

from siloway.internal.v1 import model_export_service_pb2 as model_export_pb
from siloway.internal.v1 import model_export_service_pb2_grpc as model_export_rpc

from shared.exporting.handover import HandedRow, RowsWanted
from shared.exporting.imported import ImportedRow
from shared.importing.registry import ImportScope
from shared.rpc.channel import InternalChannel

_TIMEOUT_S = 2900.0
_SCOPES = {
    ImportScope.USER: model_export_pb.ExportRowsRequest.SCOPE_USER,
    ImportScope.ORGANIZATION: model_export_pb.ExportRowsRequest.SCOPE_ORGANIZATION,
    ImportScope.CONFIG: model_export_pb.ExportRowsRequest.SCOPE_CONFIG,
    ImportScope.GLOBAL: model_export_pb.ExportRowsRequest.SCOPE_GLOBAL,
}


class ControlRows:
    """Implements shared.exporting.handover.ControlPeer."""

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._models = model_export_rpc.ModelExportServiceStub(channel.channel)

    def rows(self, wanted: RowsWanted) -> Iterator[HandedRow | None]:
        """As the protocol says."""
        request = model_export_pb.ExportRowsRequest(
            export_id=wanted.export_id, principal=wanted.principal, scope=_SCOPES[wanted.scope]
        )
        if wanted.usernames is not None:
            request.usernames.SetInParent()
            request.usernames.values.extend(wanted.usernames)
        if wanted.organizations is not None:
            request.organizations.SetInParent()
            request.organizations.ids.extend(wanted.organizations)
        begun = bytearray()
        for message in self._channel.stream(self._models.ExportRows, request, timeout_s=_TIMEOUT_S):
            if not message.rows:
                yield None
            for row in message.rows:
                begun += row.fields
                if row.continues:
                    continue
                references = tuple(pk or None for pk in row.references)
                yield HandedRow(message.model, row.pk, references, bytes(begun))
                begun.clear()

    def imported_rows(self, import_id: int, principal: str, model: str) -> Iterator[ImportedRow]:
        """The rows of one of control's models that an import wrote or met, by their pk in the file. Raises as rows."""
        request = model_export_pb.ReadImportedRowsRequest(import_id=import_id, principal=principal, model=model)
        begun = bytearray()
        for message in self._channel.stream(self._models.ReadImportedRows, request, timeout_s=_TIMEOUT_S):
            for row in message.rows:
                begun += row.fields
                if row.continues:
                    continue
                yield ImportedRow(row.ordinal, row.old_pk, row.new_pk, row.decision, row.stands, bytes(begun))
                begun.clear()
