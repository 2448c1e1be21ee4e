"""SnowflakeService on the wire: messages in and out, nothing decided here."""

from collections.abc import Callable

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb
from siloway.region.v1 import snowflake_service_pb2_grpc as snowflake_rpc

from region_silo.snowflakes import usecases
from shared.rpc.call import Caller, current_caller
from shared.rpc.methods import Door, Method, Whose
from shared.snowflake.allocator import SnowflakeAllocator

_SERVICE = "/siloway.region.v1.SnowflakeService"

METHODS: tuple[Method, ...] = (
    Method(f"{_SERVICE}/GenerateIds", Door.PUBLIC, ("ids:generate",), whose=Whose.EVERYBODY),
    Method(f"{_SERVICE}/DescribeId", Door.PUBLIC, whose=Whose.EVERYBODY),
)


class SnowflakeServicer(snowflake_rpc.SnowflakeServiceServicer):
    """Serves the region's own allocator; `spend` counts ids against the caller's quota."""

    def __init__(
        self,
        allocator: SnowflakeAllocator,
        spend: Callable[[Caller, int], None] = lambda _caller, _count: None,
    ) -> None:
        self._allocator = allocator
        self._spend = spend

    def GenerateIds(
        self, request: snowflake_pb.GenerateIdsRequest, context: grpc.ServicerContext
    ) -> snowflake_pb.GenerateIdsResponse:
        del context
        self._spend(current_caller(), request.count)
        return snowflake_pb.GenerateIdsResponse(ids=usecases.generate_ids(self._allocator, request.count))

    def DescribeId(
        self, request: snowflake_pb.DescribeIdRequest, context: grpc.ServicerContext
    ) -> snowflake_pb.IdDescription:
        del context
        parts = usecases.describe_id(request.id)
        create_time = Timestamp()
        create_time.FromDatetime(parts.time)
        return snowflake_pb.IdDescription(
            id=request.id,
            layout=parts.layout,
            create_time=create_time,
            region_number=parts.region,
            sequence=parts.sequence,
        )
