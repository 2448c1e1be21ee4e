"""Quotas through real doors and a real Redis: who is refused, for how long, and that Redis never stands in the way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from shared.clock import SystemClock
from shared.embedded.redis import RedisServer
from shared.errors import LimitExceeded, QuotaExhausted
from shared.quota import Quotas
from shared.redis import RedisLink
from shared.rpc.call import Caller
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos
from tests.integration.tokens.doors import Doors, opened

pytestmark = pytest.mark.integration

DAY_S = 86_400.0
CALLS = Caller("tokens/7", token_id=7, calls_per_minute=60)
IDS = Caller("tokens/7", token_id=7, ids_per_minute=1000)


@pytest.fixture
def link(redis_url: str) -> Iterator[RedisLink]:
    link = RedisLink.open(redis_url, clock=SystemClock(), timeout_s=2)
    yield link
    link.close()


@pytest.fixture
def quotas(link: RedisLink, clock: FakeClock) -> Quotas:
    return Quotas(link, clock=clock, silo="us")


@pytest.fixture
def counted(silos: Silos, link: RedisLink) -> Iterator[Doors]:
    with opened(silos, link=link) as doors:
        yield doors


def taken(quotas: Quotas, caller: Caller, most: int = 1000) -> int:
    """How many calls in a row are let through."""
    for count in range(most):
        try:
            quotas.spend_call(caller)
        except QuotaExhausted:
            return count
    return most


def test_a_minutes_calls_may_come_at_once_and_fill_up_evenly(quotas: Quotas, clock: FakeClock) -> None:
    assert taken(quotas, CALLS) == 60
    with pytest.raises(QuotaExhausted) as refused:
        quotas.spend_call(CALLS)
    assert refused.value.retry_after_s == pytest.approx(1.0)
    clock.advance(0.5)
    assert taken(quotas, CALLS) == 0
    clock.advance(0.5)
    assert taken(quotas, CALLS) == 1
    clock.advance(10)
    assert taken(quotas, CALLS) == 10
    clock.advance(3600)
    assert taken(quotas, CALLS) == 60


def test_a_clock_set_back_makes_nobody_wait_longer_than_a_minute(quotas: Quotas, clock: FakeClock) -> None:
    assert taken(quotas, CALLS) == 60
    clock.advance(-DAY_S)
    with pytest.raises(QuotaExhausted) as refused:
        quotas.spend_call(CALLS)
    assert (refused.value.retry_after_s or 0) <= 60
    clock.advance(61)
    assert taken(quotas, CALLS) > 0


def test_callers_at_once_get_no_more_than_the_quota(quotas: Quotas) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: taken(quotas, CALLS), range(8))) == 60


def test_ids_are_counted_by_their_number_and_more_than_a_quota_never_fits(quotas: Quotas, clock: FakeClock) -> None:
    quotas.spend_ids(IDS, 900)
    with pytest.raises(QuotaExhausted) as refused:
        quotas.spend_ids(IDS, 200)
    assert refused.value.retry_after_s == pytest.approx(6.0)
    quotas.spend_ids(IDS, 100)
    with pytest.raises(LimitExceeded):
        quotas.spend_ids(IDS, 1001)
    clock.advance(60)
    quotas.spend_ids(IDS, 1000)


def test_each_token_and_each_kind_is_counted_alone(quotas: Quotas, link: RedisLink, clock: FakeClock) -> None:
    both = Caller("users/1", token_id=7, calls_per_minute=2, ids_per_minute=2)
    other = Caller("users/1", token_id=8, calls_per_minute=2)
    assert taken(quotas, both) == 2
    quotas.spend_ids(both, 2)
    assert taken(quotas, other) == 2
    assert taken(Quotas(link, clock=clock, silo="de"), both) == 2


def test_a_token_without_a_quota_costs_redis_nothing(
    counted: Doors, link: RedisLink, silos: Silos, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = counted.create_token(scopes=["ids:generate"]).secret
    silos.drain()

    def called(*_: object, **__: object) -> None:
        raise AssertionError("Redis was asked")

    monkeypatch.setattr("shared.redis.Script.call", called)
    assert counted.answer("control", secret) == counted.answer("us", secret) == "OK"


def test_release_row_31_used_up_calls_are_refused_with_quota_failure_and_retry_info(
    counted: Doors, silos: Silos
) -> None:
    made = counted.create_token(scopes=["ids:generate"], quota={"calls_per_minute": 3})
    silos.drain()
    for silo in ("control", "us", "de"):
        answers = [counted.answer(silo, made.secret) for _ in range(4)]
        assert answers == ["OK"] * 3 + ["QUOTA_EXHAUSTED"]
    with pytest.raises(grpc.RpcError) as caught:
        counted.generate("us", made.secret)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    failure, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
    assert any(packed.Unpack(failure) for packed in status.details)
    assert any(packed.Unpack(retry) for packed in status.details)
    assert failure.violations[0].subject == made.name
    assert 0 < retry.retry_delay.ToMilliseconds() <= 20_000
    assert counted.answer("us", counted.operator) == "OK"


def test_used_up_ids_are_refused_and_calls_go_on(counted: Doors, silos: Silos) -> None:
    made = counted.create_token(scopes=["ids:generate"], quota={"ids_per_minute": 100})
    silos.drain()
    assert len(counted.generate("us", made.secret, 100)) == 100
    assert counted.answer("us", made.secret) == "QUOTA_EXHAUSTED"
    with pytest.raises(grpc.RpcError) as caught:
        counted.generate("de", made.secret, 101)
    assert "quota" in (caught.value.details() or "")
    assert counted.answer("control", made.secret) == "OK"


def test_with_redis_down_every_call_is_let_through(redis_server: RedisServer, clock: FakeClock) -> None:
    link = RedisLink.open(redis_server.url, clock=SystemClock())
    quotas = Quotas(link, clock=clock, silo="us")
    small = Caller("tokens/7", token_id=7, calls_per_minute=1)
    quotas.spend_call(small)
    redis_server.stop()
    for _ in range(100):
        quotas.spend_call(small)
        quotas.spend_ids(IDS, 1000)
    link.close()
    for _ in range(100):
        Quotas(None, clock=clock, silo="us").spend_call(small)
