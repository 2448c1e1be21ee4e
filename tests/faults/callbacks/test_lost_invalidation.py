"""Row C1: a region is down while control changes what it has cached. The change comes by the outbox, and its caches
follow.
"""

from collections.abc import Iterator

import pytest

from region_silo.organizations.lookup import OrganizationLookup, organization_cache
from region_silo.provisioning.arrival import organizations_in
from shared.errors import OrganizationNotFound
from shared.model_cache_gate import CacheGate
from shared.outbox.domain import Delivery, ShardResult
from shared.redis import RedisLink
from shared.rpc.call import Caller, acting
from tests.clock import FakeClock
from tests.faults.provisioning.test_faults import down, lines_are_good
from tests.integration.callbacks.silos import Silos
from tests.integration.provisioning.asking import ask_rename, id_of, made
from tests.invariants import check_quiet

pytestmark = [pytest.mark.faults, pytest.mark.integration]


@pytest.fixture
def link(redis_url: str, clock: FakeClock) -> Iterator[RedisLink]:
    link = RedisLink.open(redis_url, clock=clock, timeout_s=2)
    yield link
    link.close()


def test_fault_C1_a_change_that_a_region_was_down_for_reaches_its_caches_with_the_delivery(
    silos: Silos, clock: FakeClock, link: RedisLink
) -> None:
    us = silos.regions["us"]
    cache = organization_cache(us, link, CacheGate(us, clock=clock), "us")
    other_process = organization_cache(us, link, CacheGate(us, clock=clock), "us")
    receiver = silos.transport.receivers["us"]

    def as_the_door_does(delivery: Delivery) -> "list[ShardResult]":
        with cache.changing(*organizations_in(delivery)):
            return list(receiver(delivery))

    organization = id_of(made(silos))
    silos.transport.receivers["us"] = as_the_door_does
    lookups = [OrganizationLookup(each, us) for each in (cache, other_process)]

    def slug_of(key: int | str) -> list[str | None]:
        with acting(Caller("tokens/1"), method="/test"):
            return [lookup.find(key).slug for lookup in lookups]

    for _ in range(2):
        assert slug_of("acme") == slug_of(organization) == ["acme", "acme"]
    down(silos, "us")
    ask_rename(silos, organization, "other")
    silos.drain()
    assert slug_of("acme") == slug_of(organization) == ["acme", "acme"], "it has not heard of it"

    lines_are_good(silos, clock)

    assert slug_of("other") == slug_of(organization) == ["other", "other"]
    with pytest.raises(OrganizationNotFound):
        slug_of("acme")
    check_quiet(silos.control, silos.regions)
