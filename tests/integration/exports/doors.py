"""The region's public door with ExportService, and control's internal one with the rows, around a stack."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from siloway.internal.v1 import model_export_service_pb2_grpc as model_export_rpc
from siloway.region.v1 import export_service_pb2_grpc as export_rpc

from control_silo.model_exports import servicer as model_exports
from region_silo.exports import servicer
from region_silo.exports.control_peer import ControlRows
from region_silo.exports.runner import ExportRunner
from shared.errors import Unauthenticated
from shared.rpc.call import Caller
from shared.rpc.channel import InternalChannel
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import RpcServer, build_server
from tests.integration.exports.stack import ExportStack
from tests.integration.imports.stack import OPERATOR, REGION
from tests.integration.rpc.certificates import Authority, as_files
from tests.refusals import Refusal, refusal_of


class Doors:
    """Calls go in by `stub`, or by a command that is told `port`; `callers` says whose each token is."""

    def __init__(self, stack: ExportStack, folder: Path, cleanup: ExitStack) -> None:
        self.stack = stack
        self.callers: dict[str, Caller] = {"operator": OPERATOR}
        self._cleanup = cleanup
        authority = Authority.make()
        self._credentials = {name: authority.silo(name) for name in ("control", REGION, "de")}
        public = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*servicer.METHODS),
            door=Door.PUBLIC,
            servicers=[(export_rpc.add_ExportServiceServicer_to_server, servicer.ExportServicer(stack.usecases))],
            authenticate=self._caller,
        )
        self._control = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*model_exports.METHODS),
            door=Door.INTERNAL,
            servicers=[
                (
                    model_export_rpc.add_ModelExportServiceServicer_to_server,
                    model_exports.ModelExportServicer(stack.model_exports),
                )
            ],
            tls=as_files(self._credentials["control"], folder / "control"),
        )
        self._start(public)
        self._start(self._control)
        self.port = public.port
        channel = grpc.insecure_channel(f"127.0.0.1:{public.port}")
        cleanup.callback(channel.close)
        self.stub: Any = export_rpc.ExportServiceStub(channel)

    def peer(self, region: str = REGION) -> ControlRows:
        address = f"127.0.0.1:{self._control.port}"
        channel = InternalChannel(address, peer="control", credentials=lambda: self._credentials[region])
        self._cleanup.callback(channel.close)
        return ControlRows(channel)

    def runner(self) -> ExportRunner:
        return ExportRunner(self.stack.region, self.peer(), self.stack.files)

    def call(self, method: str, request: Any, token: str = "operator") -> Any:
        return getattr(self.stub, method)(request, timeout=20, metadata=(("authorization", f"Bearer {token}"),))

    def refused(self, method: str, request: Any, token: str = "operator") -> Refusal:
        def call() -> None:
            answer = self.call(method, request, token)
            if method == "DownloadExport":
                list(answer)

        with pytest.raises(grpc.RpcError) as caught:
            call()
        return refusal_of(caught.value)

    def _caller(self, secret: str) -> Caller:
        if secret not in self.callers:
            raise Unauthenticated
        return self.callers[secret]

    def _start(self, server: RpcServer) -> None:
        server.start()
        self._cleanup.callback(server.stop, 0)
