"""Control's way to the regions: one channel a region, kept, mutual TLS to the region's own name."""

from collections.abc import Callable, Mapping, Sequence

from siloway.internal.v1 import region_callback_service_pb2_grpc as callback_rpc

from shared.errors import PeerUnavailable
from shared.outbox.domain import Delivery, ShardResult
from shared.rpc.channel import Credentials, InternalChannel
from shared.rpc.delivery import send


class RegionTransport:
    """Delivers to regions by name; `addresses` maps them to their internal doors. Safe to share among threads."""

    def __init__(self, addresses: Mapping[str, str], credentials: Credentials | Callable[[], Credentials]) -> None:
        self._channels = {
            region: InternalChannel(address, peer=region, credentials=credentials)
            for region, address in addresses.items()
        }
        self._stubs = {
            region: callback_rpc.RegionCallbackServiceStub(channel.channel)
            for region, channel in self._channels.items()
        }

    def deliver(self, target: str, delivery: Delivery, timeout_s: float) -> Sequence[ShardResult]:
        """One result a shard. Raises PeerUnavailable, also for a region that the settings do not name."""
        return send(self.channel(target), self._stubs[target].DeliverMessages, delivery, timeout_s)

    def channel(self, region: str) -> InternalChannel:
        """The channel to a region, for other calls. Raises PeerUnavailable for one that the settings do not name."""
        channel = self._channels.get(region)
        if channel is None:
            raise PeerUnavailable(f"no address of region {region} is known", metadata={"region": region})
        return channel

    def close(self) -> None:
        """End all connections."""
        for channel in self._channels.values():
            channel.close()
