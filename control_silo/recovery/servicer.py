"""RecoveryService on the wire."""

from collections.abc import Callable
from datetime import UTC

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import recovery_service_pb2 as recovery_pb
from siloway.control.v1 import recovery_service_pb2_grpc as recovery_rpc

from control_silo.recovery import losing, usecases
from control_silo.recovery.domain import Recovery
from control_silo.recovery.restoring import Action, Answer, Item, repair_organizations
from shared import requests
from shared.database import Database, Transaction
from shared.doctor.domain import OrganizationRecord
from shared.outbox.registry import Registry
from shared.requests import Mutation
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method

METHODS = (
    Method("/siloway.control.v1.RecoveryService/DeclareRegionLost", Door.PUBLIC, ("silo:operate",), mutating=True),
    Method("/siloway.control.v1.RecoveryService/RecoverRegion", Door.PUBLIC, ("silo:operate",), mutating=True),
    Method(
        "/siloway.control.v1.RecoveryService/RepairOrganizations",
        Door.PUBLIC,
        ("silo:operate",),
        mutating=True,
        while_closed=True,
    ),
)

_ACTIONS: dict[int, Action] = {
    recovery_pb.RepairOrganizationsRequest.ACTION_ADOPT: Action.ADOPT,
    recovery_pb.RepairOrganizationsRequest.ACTION_FORGET: Action.FORGET,
    recovery_pb.RepairOrganizationsRequest.ACTION_TELL: Action.TELL,
    recovery_pb.RepairOrganizationsRequest.ACTION_PURGE: Action.PURGE,
}


class RecoveryServicer(recovery_rpc.RecoveryServiceServicer):
    """Serves the directory in the database; `registry` is that of the categories which control sends."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    def DeclareRegionLost(
        self, request: recovery_pb.DeclareRegionLostRequest, context: grpc.ServicerContext
    ) -> recovery_pb.RegionRecovery:
        del context
        asked = mutation(request)
        return self._once(
            asked,
            lambda transaction: losing.declare_lost(
                transaction, self._registry, region=request.region, request_id=asked.request_id
            ),
        )

    def RecoverRegion(
        self, request: recovery_pb.RecoverRegionRequest, context: grpc.ServicerContext
    ) -> recovery_pb.RegionRecovery:
        del context
        asked = mutation(request)
        return self._once(
            asked,
            lambda transaction: usecases.recover(transaction, region=request.region, request_id=asked.request_id),
        )

    def RepairOrganizations(
        self, request: recovery_pb.RepairOrganizationsRequest, context: grpc.ServicerContext
    ) -> recovery_pb.RepairOrganizationsResponse:
        del context
        asked = mutation(request)
        items = [Item(_ACTIONS[item.action], _record(item)) for item in request.items]
        done = self._database.transact(
            lambda transaction: requests.once(
                transaction,
                asked,
                Answer,
                lambda: repair_organizations(transaction, items=items, request_id=asked.request_id),
            )
        )
        return recovery_pb.RepairOrganizationsResponse(
            repaired_ids=done.repaired,
            left=[
                recovery_pb.RepairOrganizationsResponse.Left(organization_id=organization_id, reason=reason)
                for organization_id, reason in done.left
            ],
        )

    def _once(self, asked: Mutation, work: Callable[[Transaction], Recovery]) -> recovery_pb.RegionRecovery:
        done = self._database.transact(
            lambda transaction: requests.once(
                transaction,
                asked,
                Recovery,
                lambda: work(transaction),
                resource=lambda recovery: f"regions/{recovery.region}",
            )
        )
        lost_time = None
        if done.lost_at is not None:
            lost_time = Timestamp()
            lost_time.FromDatetime(done.lost_at)
        return recovery_pb.RegionRecovery(
            region=done.region,
            lost_time=lost_time,
            fence=done.fence,
            released_slug_count=done.released,
            skipped_message_count=done.skipped,
        )


def _record(item: recovery_pb.RepairOrganizationsRequest.Item) -> OrganizationRecord:
    record = item.record
    return OrganizationRecord(
        organization_id=record.organization_id,
        region=record.region,
        slug=record.slug.lower(),
        primary_slug=record.primary_slug,
        fence_version=record.fence_version,
        version=record.version,
        name=record.display_name,
        state=record.state,
        change_set=record.change_set,
        purge_at=record.purge_time.ToDatetime(UTC) if record.HasField("purge_time") else None,
    )
