"""The region's public door with FileComparisonService alone, around a stack that exports and imports."""

import json
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from siloway.region.v1 import file_comparison_service_pb2 as comparison_pb
from siloway.region.v1 import file_comparison_service_pb2_grpc as comparison_rpc

from region_silo.exports.domain import State
from region_silo.file_comparison import servicer
from region_silo.file_comparison.usecases import FileComparisonUseCases
from shared.errors import Unauthenticated
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from tests.integration.exports.stack import ExportStack, Row
from tests.integration.imports.stack import CALLER, OPERATOR
from tests.refusals import Refusal, refusal_of


class Answer:
    """All parts of an answer, by what they are."""

    def __init__(self, parts: list[comparison_pb.CompareFilesResponse]) -> None:
        assert parts[-1].WhichOneof("part") == "result"
        self.result = parts[-1].result
        self.findings = [part.finding for part in parts if part.HasField("finding")]
        self.models = {part.model.model: part.model for part in parts if part.HasField("model")}
        self.organizations = [part.organization for part in parts if part.HasField("organization")]

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(each.kind, each.model) for each in self.findings]


class Doors:
    """Calls go in by `stub`; `callers` says whose each token is."""

    def __init__(self, stack: ExportStack, cleanup: ExitStack) -> None:
        self.stack = stack
        self.callers: dict[str, Caller] = {"operator": OPERATOR, "importer": CALLER}
        self.usecases = FileComparisonUseCases(stack.region, stack.imports.spool, stack.files)
        public = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*servicer.METHODS),
            door=Door.PUBLIC,
            servicers=[
                (
                    comparison_rpc.add_FileComparisonServiceServicer_to_server,
                    servicer.FileComparisonServicer(self.usecases),
                )
            ],
            authenticate=self._caller,
        )
        public.start()
        cleanup.callback(public.stop, 0)
        self.port = public.port
        channel = grpc.insecure_channel(f"127.0.0.1:{public.port}")
        cleanup.callback(channel.close)
        self.stub: Any = comparison_rpc.FileComparisonServiceStub(channel)

    def upload(self, rows: list[Row] | bytes, caller: Caller = OPERATOR, **how: Any) -> str:
        """Upload a file for an import that nobody works on; its name."""
        data = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
        return self.stack.imports.upload(data, caller=caller, **how).name

    def export(self, caller: Caller = OPERATOR, **wish: Any) -> str:
        """Make an export with its file; its name."""
        found = self.stack.create(caller=caller, **wish)
        assert self.stack.runner().run_once()
        assert self.stack.get(found.id, caller).state is State.SUCCEEDED
        return found.name

    def call(self, left: str, right: str, token: str = "operator", *, timeout_s: float = 30, **more: Any) -> Any:
        request = comparison_pb.CompareFilesRequest(left=left, right=right, **more)
        return self.stub.CompareFiles(request, timeout=timeout_s, metadata=(("authorization", f"Bearer {token}"),))

    def compare(self, left: str, right: str, token: str = "operator", **more: Any) -> Answer:
        return Answer(list(self.call(left, right, token, **more)))

    def refused(self, left: str, right: str, token: str = "operator", **more: Any) -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            list(self.call(left, right, token, **more))
        return refusal_of(caught.value)

    def workspaces(self) -> list[str]:
        """What comparisons have in the spool."""
        return [path.name for path in self.stack.imports.spool_folder.glob("*.work")]

    def _caller(self, secret: str) -> Caller:
        if secret not in self.callers:
            raise Unauthenticated
        return self.callers[secret]
