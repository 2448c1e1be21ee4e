"""Snowflake ids from the service: beside one trip to Redis an id, and layout 2 beside layout 1.

The first is a matter of one call's cost, so it stays within the burst of layout 2, which is waited for before each
run. The second is what a region gives for good, so each burst is spent before. Region `de` of the stack has layout 1.
"""

import time

import grpc
import redis
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb

from shared.snowflake.allocator import AHEAD_S
from shared.snowflake.domain import LAYOUT_1, LAYOUT_2, Layout
from siloway_client.client import RegionClient
from tests.bench.environment import OLD_REGION, REGION, Environment
from tests.bench.measuring import Figure, from_runs, in_turn

_PER_CALL = 10_000
_BURST_WAIT_S = AHEAD_S + 1.0
_REFUSED_WAIT_S = 0.02


def per_trip(environment: Environment) -> dict[str, Figure]:
    """ids_vs_one_trip, in ids a second."""
    url = environment.stack.environment(REGION)["SILOWAY_REDIS_URL"]
    trips = int(environment.scaled(10_000, 3_000))
    request = snowflake_pb.GenerateIdsRequest(count=_PER_CALL)
    calls = LAYOUT_2.per_second * AHEAD_S // _PER_CALL - 1

    def ours() -> float:
        time.sleep(_BURST_WAIT_S)
        began = time.perf_counter()
        found = [environment.region.snowflakes.GenerateIds(request).ids for _ in range(calls)]
        took_s = time.perf_counter() - began
        assert len({each for ids in found for each in ids}) == calls * _PER_CALL, "an id came twice"
        return calls * _PER_CALL / took_s

    with redis.Redis.from_url(url) as link:

        def floor() -> float:
            began = time.perf_counter()
            for _ in range(trips):
                link.incr("bench:one-trip")
            return trips / (time.perf_counter() - began)

        note = f"{calls} calls for {_PER_CALL} ids each, one caller; floor: INCR, one connection"
        return {"ids_vs_one_trip": in_turn(floor, ours, rounds=environment.rounds, unit="ids/s", note=note)}


def layouts(environment: Environment) -> dict[str, Figure]:
    """ids_v2_vs_v1_rate, in ids a second over 10 s: `floor` is layout 1."""
    for_s = environment.scaled(10.0, 3.0)
    with environment.stack.region(OLD_REGION) as old:
        pair = (_sustained(old, LAYOUT_1, for_s), _sustained(environment.region, LAYOUT_2, for_s))
    note = f"over {for_s:.0f} s each, once; after the burst"
    return {"ids_v2_vs_v1_rate": from_runs([pair], unit="ids/s", note=note)}


def _sustained(region: RegionClient, layout: Layout, for_s: float) -> float:
    """Ids a second after the burst is spent; what is refused is asked for again a moment later."""
    request = snowflake_pb.GenerateIdsRequest(count=max(1, layout.per_second // 8))
    while _generated(region, request):
        pass
    began = time.perf_counter()
    taken = 0
    while time.perf_counter() - began < for_s:
        got = _generated(region, request)
        taken += got
        if not got:
            time.sleep(_REFUSED_WAIT_S)
    return taken / (time.perf_counter() - began)


def _generated(region: RegionClient, request: snowflake_pb.GenerateIdsRequest) -> int:
    """How many ids the call brought; none when they are used up for the moment."""
    try:
        return len(region.snowflakes.GenerateIds(request, timeout=10).ids)
    except grpc.RpcError as refusal:
        if refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return 0
        raise
