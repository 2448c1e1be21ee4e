"""ReconciliationService on the wire."""

import grpc
from siloway.control.v1 import reconciliation_service_pb2 as reconciliation_pb
from siloway.control.v1 import reconciliation_service_pb2_grpc as reconciliation_rpc

from control_silo.reconciliation import usecases
from control_silo.reconciliation.domain import Difference, Nature, Reconciliation, Repair, State
from control_silo.reconciliation.store import Query
from control_silo.regions.usecases import region_name
from shared.comparing.domain import Kind
from shared.database import Database
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method
from shared.rpc.wire import timestamp

_SERVICE = "/siloway.control.v1.ReconciliationService"

METHODS = (
    Method(f"{_SERVICE}/ListReconciliations", Door.PUBLIC, ("silo:operate",)),
    Method(f"{_SERVICE}/ListDifferences", Door.PUBLIC, ("silo:operate",)),
    Method(f"{_SERVICE}/RepairDifferences", Door.PUBLIC, ("silo:operate",), mutating=True),
)

_Wire = reconciliation_pb.Difference
_KINDS = {
    Kind.TOKEN: reconciliation_pb.RECONCILIATION_KIND_TOKEN,
    Kind.REGION: reconciliation_pb.RECONCILIATION_KIND_REGION,
    Kind.ORGANIZATION: reconciliation_pb.RECONCILIATION_KIND_ORGANIZATION,
    Kind.SLUG: reconciliation_pb.RECONCILIATION_KIND_SLUG,
}
_KINDS_BACK = {wire: kind for kind, wire in _KINDS.items()}
_NATURES = {nature: _Wire.Nature.Value(f"NATURE_{nature.name}") for nature in Nature}
_STATES = {state: _Wire.State.Value(f"STATE_{state.name}") for state in State}
_REPAIRS = {
    Repair.NONE: _Wire.REPAIR_UNSPECIFIED,
    Repair.RESEND: _Wire.REPAIR_RESEND,
    Repair.REMOVE: _Wire.REPAIR_REMOVE,
    Repair.APPLY: _Wire.REPAIR_APPLY,
}


class ReconciliationServicer(reconciliation_rpc.ReconciliationServiceServicer):
    """Serves what `work` has found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ListReconciliations(
        self, request: reconciliation_pb.ListReconciliationsRequest, context: grpc.ServicerContext
    ) -> reconciliation_pb.ListReconciliationsResponse:
        del context
        region = request.region.removeprefix("regions/")
        found = self._database.read(lambda transaction: usecases.list_reconciliations(transaction, region))
        return reconciliation_pb.ListReconciliationsResponse(reconciliations=[_reconciliation(each) for each in found])

    def ListDifferences(
        self, request: reconciliation_pb.ListDifferencesRequest, context: grpc.ServicerContext
    ) -> reconciliation_pb.ListDifferencesResponse:
        del context
        query = Query(
            request.region.removeprefix("regions/"),
            _KINDS_BACK.get(request.kind),
            request.show_pending,
            request.show_resolved,
        )
        page, token = self._database.read(
            lambda transaction: usecases.list_differences(
                transaction, query, page_size=request.page_size, token=request.page_token
            )
        )
        return reconciliation_pb.ListDifferencesResponse(
            differences=[_difference(each) for each in page], next_page_token=token
        )

    def RepairDifferences(
        self, request: reconciliation_pb.RepairDifferencesRequest, context: grpc.ServicerContext
    ) -> reconciliation_pb.RepairDifferencesResponse:
        del context
        asked = mutation(request)
        ids = [int(name.removeprefix("differences/")) for name in request.names]
        found = self._database.transact(lambda transaction: usecases.repair_differences(transaction, asked, ids))
        return reconciliation_pb.RepairDifferencesResponse(differences=[_difference(each) for each in found])


def _reconciliation(known: Reconciliation) -> reconciliation_pb.Reconciliation:
    return reconciliation_pb.Reconciliation(
        region=region_name(known.region),
        kind=_KINDS[known.kind],
        equal_up_to_time=timestamp(known.equal_up_to),
        start_time=timestamp(known.started_at),
        finish_time=timestamp(known.finished_at),
        position=known.position,
        row_count=known.row_count,
        duration_ms=known.duration_ms,
        difference_count=known.differences,
        pending_count=known.pending,
        last_error=known.last_error,
    )


def _difference(found: Difference) -> reconciliation_pb.Difference:
    return _Wire(
        name=usecases.difference_name(found.id),
        region=region_name(found.region),
        kind=_KINDS[found.kind],
        subject=found.subject,
        nature=_NATURES[found.nature],
        state=_STATES[found.state],
        control_json=found.control_has,
        region_json=found.region_has,
        first_seen_time=timestamp(found.first_seen_at),
        last_seen_time=timestamp(found.last_seen_at),
        resolve_time=timestamp(found.resolved_at),
        repair=_REPAIRS[found.repair],
        repair_request_time=timestamp(found.repair_requested_at),
        repair_time=timestamp(found.repaired_at),
        repair_count=found.repair_count,
    )
