"""SnowflakeService through a real channel with all interceptors."""

from collections.abc import Iterator

import grpc
import pytest
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb
from siloway.region.v1 import snowflake_service_pb2_grpc as snowflake_rpc

from region_silo.snowflakes import usecases
from region_silo.snowflakes.servicer import SnowflakeServicer
from shared import errors
from shared.rpc.call import Caller
from shared.rpc.methods import Door, Method, MethodTable
from shared.rpc.server import build_server
from shared.snowflake.domain import LAYOUT_1
from tests.clock import FakeClock
from tests.integration.snowflake.conftest import OpenAllocator
from tests.refusals import refusal_of

pytestmark = pytest.mark.integration
METADATA = (("authorization", "Bearer any"),)
TABLE = MethodTable.of(
    Method("/siloway.region.v1.SnowflakeService/GenerateIds", Door.PUBLIC, ("ids:generate",)),
    Method("/siloway.region.v1.SnowflakeService/DescribeId", Door.PUBLIC),
)


@pytest.fixture
def service(open_allocator: OpenAllocator) -> Iterator[snowflake_rpc.SnowflakeServiceStub]:
    server = build_server(
        address="127.0.0.1:0",
        table=TABLE,
        door=Door.PUBLIC,
        servicers=[(snowflake_rpc.add_SnowflakeServiceServicer_to_server, SnowflakeServicer(open_allocator()))],
        authenticate=lambda _secret: Caller("tokens/1", frozenset({"ids:generate"})),
    )
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield snowflake_rpc.SnowflakeServiceStub(channel)
    server.stop(0)


def test_generated_ids_are_distinct_and_describe_themselves(
    service: snowflake_rpc.SnowflakeServiceStub, clock: FakeClock
) -> None:
    ids = service.GenerateIds(snowflake_pb.GenerateIdsRequest(count=10_000), metadata=METADATA).ids
    assert list(ids) == sorted(set(ids))
    assert len(ids) == 10_000
    told = service.DescribeId(snowflake_pb.DescribeIdRequest(id=str(ids[42])), metadata=METADATA)
    assert (told.id, told.layout, told.region_number, told.sequence) == (str(ids[42]), 2, 1, 42)
    assert told.create_time.ToDatetime(clock.now().tzinfo) == clock.now().replace(microsecond=0)


def test_an_id_of_layout_one_is_described_too(service: snowflake_rpc.SnowflakeServiceStub) -> None:
    told = service.DescribeId(snowflake_pb.DescribeIdRequest(id="4508565473591312"), metadata=METADATA)
    assert (told.layout, told.region_number, told.sequence) == (1, 1, 0)
    assert told.create_time.ToJsonString() == "2025-01-01T00:00:00Z"


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_count_out_of_bounds_names_the_field(service: snowflake_rpc.SnowflakeServiceStub, count: int) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        service.GenerateIds(snowflake_pb.GenerateIdsRequest(count=count), metadata=METADATA)
    refusal = refusal_of(caught.value)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in refusal.violations] == ["count"]


@pytest.mark.parametrize("text", ["", "x", "-5", "12", "9007199254740992", "9999999999999999999"])
def test_a_text_that_is_no_id_names_the_field(service: snowflake_rpc.SnowflakeServiceStub, text: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        service.DescribeId(snowflake_pb.DescribeIdRequest(id=text), metadata=METADATA)
    refusal = refusal_of(caught.value)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert {field for field, _ in refusal.violations} == {"id"}


def test_faults_F2_F3_exhaustion_and_a_clock_set_back_tell_when_to_try_again(
    service: snowflake_rpc.SnowflakeServiceStub, clock: FakeClock
) -> None:
    request = snowflake_pb.GenerateIdsRequest(count=10_000)
    for _ in range(16):
        service.GenerateIds(request, metadata=METADATA)
    with pytest.raises(grpc.RpcError) as caught:
        service.GenerateIds(request, metadata=METADATA)
    refusal = refusal_of(caught.value)
    assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", "IDS_EXHAUSTED")
    assert refusal.retry_after_ms == 1000
    clock.advance(-600)
    with pytest.raises(grpc.RpcError) as caught:
        service.GenerateIds(request, metadata=METADATA)
    refusal = refusal_of(caught.value)
    assert (refusal.code.name, refusal.reason) == ("UNAVAILABLE", "CLOCK_BEHIND")
    assert refusal.retry_after_ms == 601_000


def test_a_count_beyond_the_layouts_burst_names_the_field(open_allocator: OpenAllocator) -> None:
    allocator = open_allocator(layout=LAYOUT_1)
    with pytest.raises(errors.InvalidArgument) as refused:
        usecases.generate_ids(allocator, 81)
    assert [violation.field for violation in refused.value.violations] == ["count"]
    assert len(usecases.generate_ids(allocator, 80)) == 80
