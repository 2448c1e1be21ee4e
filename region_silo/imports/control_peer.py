"""The importer's control, over the internal door. A refusal of what we sent is our own bug, never the user's."""

from siloway.internal.v1 import control_callback_service_pb2 as callback_pb
from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.internal.v1 import model_import_service_pb2_grpc as model_import_rpc

from region_silo.imports.domain import SlugWish
from shared.errors import Internal, InvalidArgument
from shared.importing.decisions import BatchFinding, LedgerRow
from shared.importing.handover import HandedAnswer, HandedBatch
from shared.importing.registry import ImportScope
from shared.rpc.channel import InternalChannel

_TIMEOUT_S = 30.0
_SCOPES = {
    ImportScope.USER: model_import_pb.ImportBatchRequest.SCOPE_USER,
    ImportScope.ORGANIZATION: model_import_pb.ImportBatchRequest.SCOPE_ORGANIZATION,
}


class ControlSilo:
    """Implements writer.ControlPeer."""

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._models = model_import_rpc.ModelImportServiceStub(channel.channel)
        self._callbacks = callback_rpc.ControlCallbackServiceStub(channel.channel)

    def import_batch(self, batch: HandedBatch) -> HandedAnswer:
        """Hand over a batch. Raises PeerUnavailable and the like, ScopeMissing and the like for good, Internal."""
        request = model_import_pb.ImportBatchRequest(
            import_id=batch.import_id,
            principal=batch.principal,
            scope=_SCOPES[batch.scope],
            model=batch.model,
            rows=[model_import_pb.ImportBatchRequest.Row(ordinal=row.ordinal, object=row.data) for row in batch.rows],
        )
        try:
            response = self._channel.invoke(self._models.ImportBatch, request, timeout_s=_TIMEOUT_S)
        except InvalidArgument as error:
            raise Internal(f"control does not accept a batch of {batch.model}: {error.message}") from error
        rows = [
            LedgerRow(row.ordinal, row.old_pk, row.new_pk, row.decision, row.suffixed or None) for row in response.rows
        ]
        findings = [
            BatchFinding(
                each.kind,
                batch.model,
                each.ordinal,
                str(each.old_pk) if each.old_pk else "",
                each.field,
                each.reason,
                each.error,
            )
            for each in response.findings
        ]
        return HandedAnswer(rows, findings)

    def reserve_slugs(self, change_set: str, wishes: list[SlugWish]) -> None:
        """Ask for slugs. Raises as import_batch."""
        request = callback_pb.ReserveSlugsRequest(
            change_set=change_set,
            items=[
                callback_pb.ReserveSlugsRequest.Item(
                    organization_id=wish.organization_id, base_slug=wish.base_slug, display_name=wish.display_name
                )
                for wish in wishes
            ],
        )
        try:
            self._channel.invoke(self._callbacks.ReserveSlugs, request, timeout_s=_TIMEOUT_S)
        except InvalidArgument as error:
            raise Internal(f"control does not accept slugs to reserve: {error.message}") from error
