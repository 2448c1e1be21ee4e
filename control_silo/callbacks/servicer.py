"""ControlCallbackService on the wire: what regions ask of control. The region is the certificate's, never the
message's.
"""

from collections.abc import Callable

import grpc
from siloway.internal.v1 import control_callback_service_pb2 as callback_pb
from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc
from siloway.internal.v1 import delivery_pb2 as delivery_pb

from control_silo.callbacks.registry import receiving_registry
from control_silo.model_imports.plans import forget_plan
from control_silo.organizations.usecases import resolve
from control_silo.slugs import plan_holds
from control_silo.slugs.domain import Reserved, Wish
from control_silo.slugs.redirects import note_use
from control_silo.slugs.usecases import reserve_slugs
from shared import barrier
from shared.database import Database, Transaction
from shared.names import parse_key
from shared.outbox.inbox import receive
from shared.rpc.call import current_caller
from shared.rpc.delivery import from_peer, results_to_wire
from shared.rpc.methods import PEER_REGION, Budget, Door, Method

METHODS = (
    Method("/siloway.internal.v1.ControlCallbackService/ReserveSlugs", Door.INTERNAL, (PEER_REGION,), mutating=True),
    Method("/siloway.internal.v1.ControlCallbackService/HoldSlugs", Door.INTERNAL, (PEER_REGION,), mutating=True),
    Method("/siloway.internal.v1.ControlCallbackService/ForgetPlan", Door.INTERNAL, (PEER_REGION,), mutating=True),
    Method("/siloway.internal.v1.ControlCallbackService/DeliverMessages", Door.INTERNAL, (PEER_REGION,), mutating=True),
    # A budget of its own: however many clients ask regions for what is not there, deliveries go on.
    Method(
        "/siloway.internal.v1.ControlCallbackService/FindOrganization",
        Door.INTERNAL,
        (PEER_REGION,),
        budget=Budget.PEERS,
        maximum_s=1.0,
    ),
)


class ControlCallbackServicer(callback_rpc.ControlCallbackServiceServicer):
    """Serves the calling region's own organizations."""

    def __init__(self, database: Database, *, wake: Callable[[str], None] | None = None) -> None:
        """`wake(channel)` tells those who wait for the end of a change."""
        self._database = database
        self._wake = wake

    def ReserveSlugs(
        self, request: callback_pb.ReserveSlugsRequest, context: grpc.ServicerContext
    ) -> callback_pb.ReserveSlugsResponse:
        del context
        region = current_caller().silo or ""
        wishes = [Wish(item.organization_id, item.base_slug, item.display_name) for item in request.items]

        def work(transaction: Transaction) -> list[Reserved]:
            if request.plan:
                slugs = [wish.base_slug for wish in wishes]
                plan_holds.take_over(transaction, region=region, plan=request.plan, slugs=slugs)
            return reserve_slugs(transaction, region=region, change_set=request.change_set, wishes=wishes)

        reserved = self._database.transact(work)
        barrier.reach("slugs.reserve_committed")
        return callback_pb.ReserveSlugsResponse(
            reservations=[
                callback_pb.ReserveSlugsResponse.Reservation(
                    organization_id=given.organization_id, slug=given.slug, finished=given.finished
                )
                for given in reserved
            ]
        )

    def HoldSlugs(
        self, request: callback_pb.HoldSlugsRequest, context: grpc.ServicerContext
    ) -> callback_pb.HoldSlugsResponse:
        del context
        region = current_caller().silo or ""

        def work(transaction: Transaction) -> list[str]:
            wanted, seconds = list(request.base_slugs), request.seconds
            if request.exact:
                return plan_holds.hold_exactly(
                    transaction, region=region, plan=request.plan, slugs=wanted, seconds=seconds
                )
            return plan_holds.hold_slugs(
                transaction,
                region=region,
                plan=request.plan,
                base_slugs=wanted,
                afresh=request.afresh,
                seconds=seconds,
            )

        return callback_pb.HoldSlugsResponse(slugs=self._database.transact(work))

    def ForgetPlan(
        self, request: callback_pb.ForgetPlanRequest, context: grpc.ServicerContext
    ) -> callback_pb.ForgetPlanResponse:
        del context
        region, import_id = current_caller().silo or "", int(request.plan.removeprefix("imports/"))
        self._database.transact(lambda transaction: forget_plan(transaction, region, import_id))
        return callback_pb.ForgetPlanResponse()

    def DeliverMessages(
        self, request: delivery_pb.DeliverMessagesRequest, context: grpc.ServicerContext
    ) -> delivery_pb.DeliverMessagesResponse:
        del context
        delivery = from_peer(request)
        return results_to_wire(receive(self._database, receiving_registry(delivery.origin, self._wake), delivery))

    def FindOrganization(
        self, request: callback_pb.FindOrganizationRequest, context: grpc.ServicerContext
    ) -> callback_pb.FindOrganizationResponse:
        del context
        key = parse_key(request.key)
        found, redirect = self._database.read(lambda transaction: resolve(transaction, key))
        if redirect is not None:
            note_use(self._database, redirect)
        return callback_pb.FindOrganizationResponse(
            organization_id=found.organization_id, region=found.region, address=found.region_address
        )
