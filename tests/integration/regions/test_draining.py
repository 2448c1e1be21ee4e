"""A draining region gets no new organizations, keeps what it has, and can be undrained."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from siloway.control.v1 import region_service_pb2 as region_pb

from control_silo.regions.usecases import check_accepts_organizations
from control_silo.tokens.usecases import authenticator
from shared.database import Transaction
from shared.errors import RegionDraining, RegionNotFound
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    organization_ids,
    pending,
    reservations,
    rows,
)
from tests.integration.organizations_control.test_public_door import Client, door, minted

pytestmark = pytest.mark.integration

ACTIVE, DRAINING = region_pb.Region.STATE_ACTIVE, region_pb.Region.STATE_DRAINING


@pytest.fixture
def client(silos: Silos) -> Iterator[Client]:
    with door(silos, authenticator(silos.control, silos.clock)) as client:
        client.secret = minted(silos, scopes=("silo:operate",))
        yield client


def drain(client: Client, region: str, request_id: str = "") -> region_pb.Region:
    request = region_pb.DrainRegionRequest(name=f"regions/{region}", request_id=request_id or str(uuid.uuid4()))
    answer: region_pb.Region = client.call(client.regions.DrainRegion, request)
    return answer


def undrain(client: Client, region: str) -> region_pb.Region:
    request = region_pb.UndrainRegionRequest(name=f"regions/{region}", request_id=str(uuid.uuid4()))
    answer: region_pb.Region = client.call(client.regions.UndrainRegion, request)
    return answer


def get(client: Client, region: str) -> region_pb.Region:
    answer: region_pb.Region = client.call(
        client.regions.GetRegion, region_pb.GetRegionRequest(name=f"regions/{region}")
    )
    return answer


def test_a_region_is_shown_with_its_state_and_how_many_organizations_it_has(silos: Silos, client: Client) -> None:
    silos.reserve("us", [(organization, "acme") for organization in organization_ids(1, 3)])
    us, de = get(client, "us"), get(client, "de")
    assert (us.name, us.number, us.public_address) == ("regions/us", 1, "127.0.0.1:7710")
    assert (us.state, us.organization_count, de.organization_count) == (ACTIVE, 3, 0)
    assert list(client.call(client.regions.ListRegions, region_pb.ListRegionsRequest()).regions) == [de, us]


def test_a_draining_region_refuses_new_organizations_until_it_is_undrained(silos: Silos, client: Client) -> None:
    old, new = organization_ids(1, 2)
    add_organizations(silos.regions["us"], [(old, "acme"), (new, "globex")])
    silos.reserve("us", [(old, "acme")])
    assert drain(client, "us").state == get(client, "us").state == DRAINING

    for wishes in ([(new, "globex")], [(old, "acme"), (new, "globex")]):
        with pytest.raises(RegionDraining) as caught:
            silos.reserve("us", wishes)
        assert caught.value.metadata == {"region": "us"}
    assert [given.slug for given in silos.reserve("us", [(old, "acme")])] == ["acme"]
    silos.drain()
    assert list(reservations(silos.control)) == ["acme"]
    assert rows(silos.control, "SELECT organization_id FROM organization_mapping") == [(old,)]
    assert silos.reserve("de", [(organization_ids(2, 1)[0], "globex")])[0].slug == "globex"

    assert undrain(client, "us").state == get(client, "us").state == ACTIVE
    assert silos.reserve("us", [(new, "initech")])[0].slug == "initech"


def test_draining_twice_is_draining_once_and_a_repeat_gets_the_first_answer(silos: Silos, client: Client) -> None:
    request_id = str(uuid.uuid4())
    first = drain(client, "us", request_id)
    assert drain(client, "us") == first
    undrain(client, "us")
    assert drain(client, "us", request_id) == first
    assert get(client, "us").state == ACTIVE
    request = region_pb.DrainRegionRequest(name="regions/de", request_id=request_id)
    assert client.refused(client.regions.DrainRegion, request).reason == "REQUEST_ID_REUSED"
    assert pending(silos.control) == len(silos.regions), "only the token of this test is on its way"


def test_only_operators_drain_and_only_regions_that_are_there(silos: Silos, client: Client) -> None:
    for method, request in (
        (client.regions.GetRegion, region_pb.GetRegionRequest(name="regions/fr")),
        (client.regions.DrainRegion, region_pb.DrainRegionRequest(name="regions/fr", request_id=str(uuid.uuid4()))),
        (client.regions.UndrainRegion, region_pb.UndrainRegionRequest(name="regions/fr", request_id=str(uuid.uuid4()))),
    ):
        told = client.refused(method, request)
        assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "REGION_NOT_FOUND")
    assert rows(silos.control, "SELECT * FROM request_record") == []
    client.secret = minted(silos, scopes=("org:admin",))
    request = region_pb.DrainRegionRequest(name="regions/us", request_id=str(uuid.uuid4()))
    told = client.refused(client.regions.DrainRegion, request)
    assert (told.reason, told.metadata["scope"]) == ("SCOPE_MISSING", "silo:operate")
    assert get(client, "us").state == ACTIVE


def test_draining_waits_for_an_organization_that_is_being_made(silos: Silos, client: Client) -> None:
    accepted, go_on = threading.Event(), threading.Event()

    def make(transaction: Transaction) -> None:
        check_accepts_organizations(transaction, "us")
        accepted.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor(2) as pool:
        making = pool.submit(silos.control.transact, make)
        assert accepted.wait(20)
        draining = pool.submit(drain, client, "us")
        _wait_for_a_blocked_statement(silos)
        assert not draining.done()
        go_on.set()
        making.result(20)
        assert draining.result(20).state == DRAINING
    with pytest.raises(RegionDraining):
        silos.control.transact(lambda transaction: check_accepts_organizations(transaction, "us"))
    with pytest.raises(RegionNotFound):
        silos.control.transact(lambda transaction: check_accepts_organizations(transaction, "fr"))


def _wait_for_a_blocked_statement(silos: Silos) -> None:
    blocked = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%region_directory%'
    """
    for _ in range(1500):
        if rows(silos.control, blocked) == [(1,)]:
            return
        threading.Event().wait(0.02)
    raise AssertionError("draining did not wait")
