"""The region's public door with ImportService, and control's internal door, around an ImportStack."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc
from siloway.internal.v1 import model_export_service_pb2_grpc as model_export_rpc
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.internal.v1 import model_import_service_pb2_grpc as model_import_rpc
from siloway.region.v1 import import_service_pb2 as import_pb
from siloway.region.v1 import import_service_pb2_grpc as import_rpc

from control_silo.callbacks import servicer as callbacks
from control_silo.model_exports import servicer as model_exports
from control_silo.model_imports import servicer as model_imports
from region_silo.exports.control_peer import ControlRows
from region_silo.imports import servicer
from region_silo.imports.control_peer import ControlSilo
from region_silo.imports.runner import ImportRunner
from region_silo.verification.usecases import VerificationUseCases
from shared.errors import Unauthenticated
from shared.exporting.imported import ImportedRow
from shared.rpc.call import Caller
from shared.rpc.channel import InternalChannel
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import RpcServer, build_server
from tests.integration.imports.stack import CALLER, OPERATOR, REGION, ImportStack
from tests.integration.rpc.certificates import Authority, as_files
from tests.refusals import Refusal, refusal_of

USER = Caller("users/5", CALLER.scopes)
_CALLERS = {
    "importer": CALLER,
    "user": USER,
    "operator": OPERATOR,
    "stranger": Caller("tokens/99", frozenset({"import:write"})),
    "reader": Caller("tokens/98", frozenset({"org:read"})),
}


def _caller(secret: str) -> Caller:
    if secret not in _CALLERS:
        raise Unauthenticated
    return _CALLERS[secret]


class Doors:
    """The region's public door and control's internal one."""

    def __init__(self, stack: ImportStack, folder: Path, cleanup: ExitStack) -> None:
        self.stack = stack
        self._cleanup = cleanup
        authority = Authority.make()
        self.credentials = {name: authority.silo(name) for name in ("control", REGION, "de")}
        self.public = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*servicer.METHODS),
            door=Door.PUBLIC,
            servicers=[
                (
                    import_rpc.add_ImportServiceServicer_to_server,
                    servicer.ImportServicer(
                        stack.usecases, stack.clock, VerificationUseCases(stack.region, stack.spool, self)
                    ),
                )
            ],
            authenticate=_caller,
        )
        self.control = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*model_imports.METHODS, *model_exports.METHODS, *callbacks.METHODS),
            door=Door.INTERNAL,
            servicers=[
                (
                    model_import_rpc.add_ModelImportServiceServicer_to_server,
                    model_imports.ModelImportServicer(stack.model_imports),
                ),
                (
                    model_export_rpc.add_ModelExportServiceServicer_to_server,
                    model_exports.ModelExportServicer(stack.model_exports),
                ),
                (
                    callback_rpc.add_ControlCallbackServiceServicer_to_server,
                    callbacks.ControlCallbackServicer(stack.control),
                ),
            ],
            tls=as_files(self.credentials["control"], folder / "control"),
        )
        self._start(self.public)
        self._start(self.control)
        channel = grpc.insecure_channel(f"127.0.0.1:{self.public.port}")
        cleanup.callback(channel.close)
        self.stub = import_rpc.ImportServiceStub(channel)

    def peer(self, region: str = REGION) -> ControlSilo:
        return ControlSilo(self._channel(region))

    def hand_over(self, request: model_import_pb.ImportBatchRequest) -> model_import_pb.ImportBatchResponse:
        """Call control as the region does. Raises what it refuses."""
        channel = self._channel(REGION)
        stub = model_import_rpc.ModelImportServiceStub(channel.channel)
        answer: model_import_pb.ImportBatchResponse = channel.invoke(stub.ImportBatch, request)
        return answer

    def imported_rows(self, import_id: int, principal: str, model: str) -> Iterator[ImportedRow]:
        """The verification's control: it is reached when it is needed."""
        return ControlRows(self._channel(REGION)).imported_rows(import_id, principal, model)

    def _channel(self, region: str) -> InternalChannel:
        address = f"127.0.0.1:{self.control.port}"
        channel = InternalChannel(address, peer="control", credentials=self.credentials[region])
        self._cleanup.callback(channel.close)
        return channel

    def runner(self) -> ImportRunner:
        return ImportRunner(self.stack.region, self.stack.spool, self.peer(), self.stack.ids[REGION])

    def call(self, method: str, request: Any, token: str = "importer") -> Any:
        return getattr(self.stub, method)(request, timeout=20, metadata=(("authorization", f"Bearer {token}"),))

    def refused(self, method: str, request: Any, token: str = "importer") -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request, token)
        return refusal_of(caught.value)

    def _start(self, server: RpcServer) -> None:
        server.start()
        self._cleanup.callback(server.stop, 0)


def parts(
    data: bytes, *, request_id: str | None = None, scope: int = 2, **header: Any
) -> Iterator[import_pb.UploadImportRequest]:
    """An upload of the whole file, or of what stands at `offset` and behind."""
    head = import_pb.UploadImportRequest.Header(
        scope=scope,  # type: ignore[arg-type]  # the enum's number
        request_id=request_id or str(uuid.uuid4()),
        **header,
    )
    yield import_pb.UploadImportRequest(header=head)
    for start in range(header.get("offset", 0), len(data), 65536):
        yield import_pb.UploadImportRequest(chunk=data[start : start + 65536])
    yield import_pb.UploadImportRequest(finish=True)
