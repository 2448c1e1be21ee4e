"""Asking control who owns an organization, over the region's channel to control."""

from siloway.internal.v1 import control_callback_service_pb2 as callback_pb
from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc

from region_silo.routing.domain import Owner
from shared.names import Key
from shared.rpc.channel import InternalChannel

TIMEOUT_S = 1.0


class OwnerQuestion:
    """Control's FindOrganization; an instance is what Owners asks. The channel is the caller's."""

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._stub = callback_rpc.ControlCallbackServiceStub(channel.channel)

    def __call__(self, key: Key) -> Owner:
        """The owner of an id or slug, within a second. Raises OrganizationNotFound, PeerUnavailable and
        DeadlineExceeded.
        """
        request = callback_pb.FindOrganizationRequest(key=str(key))
        answer = self._channel.invoke(self._stub.FindOrganization, request, timeout_s=TIMEOUT_S)
        return Owner(answer.organization_id, answer.region, answer.address)
