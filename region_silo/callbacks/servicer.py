"""RegionCallbackService on the wire: what control asks of a region."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import grpc
from siloway.internal.v1 import delivery_pb2 as delivery_pb
from siloway.internal.v1 import region_callback_service_pb2_grpc as callback_rpc

from region_silo.provisioning.arrival import TakeIds, organizations_in, with_ids
from shared.database import Database
from shared.outbox.inbox import receive
from shared.outbox.registry import Registry
from shared.rpc.delivery import from_peer, results_to_wire
from shared.rpc.methods import PEER_CONTROL, Door, Method

METHODS = (
    Method("/siloway.internal.v1.RegionCallbackService/DeliverMessages", Door.INTERNAL, (PEER_CONTROL,), mutating=True),
)


class RegionCallbackServicer(callback_rpc.RegionCallbackServiceServicer):
    """Applies control's deliveries by the region's receiving registry.

    `take_ids` gives the ids of organizations that are to be made. `changing` encloses the transaction that changes
    those organizations, so that caches of them are told.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        *,
        take_ids: TakeIds,
        changing: Callable[[Sequence[int]], AbstractContextManager[None]] = lambda _ids: nullcontext(),
    ) -> None:
        self._database = database
        self._registry = registry
        self._take_ids = take_ids
        self._changing = changing

    def DeliverMessages(
        self, request: delivery_pb.DeliverMessagesRequest, context: grpc.ServicerContext
    ) -> delivery_pb.DeliverMessagesResponse:
        del context
        delivery = with_ids(from_peer(request), self._take_ids)
        # Caches are told before the transaction, for it must not wait for the network.
        with self._changing(organizations_in(delivery)):
            results = receive(self._database, self._registry, delivery)
        return results_to_wire(results)
