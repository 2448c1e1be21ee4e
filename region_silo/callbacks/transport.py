"""The region's way to control: the one channel to control's internal door, shared with the region's other calls
there.
"""

from collections.abc import Sequence

from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc

from shared.errors import PeerUnavailable
from shared.outbox.domain import Delivery, ShardResult
from shared.rpc.channel import InternalChannel
from shared.rpc.delivery import send
from shared.rpc.identity import CONTROL


class ControlTransport:
    """Delivers to control, the only target that a region has. Safe to share among threads; the channel is the
    caller's.
    """

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._stub = callback_rpc.ControlCallbackServiceStub(channel.channel)

    def deliver(self, target: str, delivery: Delivery, timeout_s: float) -> Sequence[ShardResult]:
        """One result a shard. Raises PeerUnavailable."""
        if target != CONTROL:
            raise PeerUnavailable(f"regions do not call {target}", metadata={"silo": target})
        return send(self._channel, self._stub.DeliverMessages, delivery, timeout_s)
