"""ExportService on the wire: messages in and out, nothing decided here."""

from collections.abc import Iterator

import grpc
from google.protobuf.empty_pb2 import Empty
from siloway.region.v1 import export_service_pb2 as export_pb
from siloway.region.v1 import export_service_pb2_grpc as export_rpc

from region_silo.exports.domain import DataExport, Scope
from region_silo.exports.usecases import ExportUseCases, ExportWish
from shared.names import organization_name
from shared.rpc import page_token
from shared.rpc.call import current_caller, mutation
from shared.rpc.methods import Budget, Door, Method, Whose
from shared.rpc.wire import stored_status, timestamp

_SERVICE = "/siloway.region.v1.ExportService"
_SCOPES = ("org:admin", "silo:operate")
_DOMAIN = "siloway"

METHODS: tuple[Method, ...] = (
    Method(f"{_SERVICE}/CreateExport", Door.PUBLIC, _SCOPES, mutating=True, whose=Whose.CALLER),
    Method(f"{_SERVICE}/GetExport", Door.PUBLIC, _SCOPES, whose=Whose.CALLER),
    Method(f"{_SERVICE}/ListExports", Door.PUBLIC, _SCOPES, whose=Whose.CALLER),
    Method(
        f"{_SERVICE}/DownloadExport",
        Door.PUBLIC,
        _SCOPES,
        budget=Budget.STREAMS,
        maximum_s=3000.0,
        whose=Whose.CALLER,
    ),
    Method(f"{_SERVICE}/CancelExport", Door.PUBLIC, _SCOPES, mutating=True, whose=Whose.CALLER),
    Method(f"{_SERVICE}/DeleteExport", Door.PUBLIC, _SCOPES, mutating=True, whose=Whose.CALLER),
)


class ExportServicer(export_rpc.ExportServiceServicer):
    """Serves the region's exports."""

    def __init__(self, usecases: ExportUseCases) -> None:
        self._usecases = usecases

    def CreateExport(
        self, request: export_pb.CreateExportRequest, context: grpc.ServicerContext
    ) -> export_pb.DataExport:
        del context
        wish = ExportWish(
            Scope(request.scope),
            tuple(request.usernames.values) if request.HasField("usernames") else None,
            tuple(request.organization_slugs.values) if request.HasField("organization_slugs") else None,
        )
        return _message(self._usecases.create(mutation(request), wish))

    def GetExport(self, request: export_pb.GetExportRequest, context: grpc.ServicerContext) -> export_pb.DataExport:
        del context
        return _message(self._usecases.get(_export_id(request.name)))

    def ListExports(
        self, request: export_pb.ListExportsRequest, context: grpc.ServicerContext
    ) -> export_pb.ListExportsResponse:
        del context
        digest = page_token.query_digest("exports", current_caller().principal)
        before_id = page_token.decode_number(request.page_token, digest)
        rows_max = page_token.page_size(request.page_size)
        found = self._usecases.page(before_id, rows_max + 1)
        following = page_token.encode((found[rows_max - 1].id,), digest) if len(found) > rows_max else ""
        return export_pb.ListExportsResponse(
            exports=[_message(each, whole=False) for each in found[:rows_max]], next_page_token=following
        )

    def DownloadExport(
        self, request: export_pb.DownloadExportRequest, context: grpc.ServicerContext
    ) -> Iterator[export_pb.DownloadExportResponse]:
        del context
        with self._usecases.download(_export_id(request.name), request.offset) as download:
            header = export_pb.DownloadExportResponse.Header(
                size_bytes=download.file.length, sha256=download.file.sha256
            )
            yield export_pb.DownloadExportResponse(header=header)
            for chunk in download.chunks():
                yield export_pb.DownloadExportResponse(chunk=chunk)

    def CancelExport(
        self, request: export_pb.CancelExportRequest, context: grpc.ServicerContext
    ) -> export_pb.DataExport:
        del context
        return _message(self._usecases.cancel(mutation(request), _export_id(request.name)))

    def DeleteExport(self, request: export_pb.DeleteExportRequest, context: grpc.ServicerContext) -> Empty:
        del context
        self._usecases.delete(mutation(request), _export_id(request.name))
        return Empty()


def _message(row: DataExport, *, whole: bool = True) -> export_pb.DataExport:
    message = export_pb.DataExport(
        name=row.name,
        scope=row.scope.value,  # type: ignore[arg-type]  # the numbers are the same, a test says so
        state=row.state.value,  # type: ignore[arg-type]  # as above
        creator=row.principal,
        organization="" if row.organization_id is None else organization_name(row.organization_id),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        object_count=row.object_count,
        error=None if row.error is None else stored_status(row.error),
        create_time=timestamp(row.created_at),
        start_time=timestamp(row.started_at),
        end_time=timestamp(row.ended_at),
        expire_time=timestamp(row.expires_at),
    )
    if row.usernames is not None:
        message.usernames.values[:] = row.usernames
        message.usernames.SetInParent()
    if row.organization_slugs is not None:
        message.organization_slugs.values[:] = row.organization_slugs
        message.organization_slugs.SetInParent()
    for each in row.models if whole else ():
        message.models.add(model=each.model, rows=each.rows)
    return message


def _export_id(name: str) -> int:
    return int(name.removeprefix("exports/"))
