"""A region that is declared lost: what was held for it is free, and nothing that it was given counts any more."""

import threading
import uuid
from typing import Any

import grpc
import pytest
from siloway.control.v1 import recovery_service_pb2 as recovery_pb

from control_silo.callbacks.registry import sending_registry
from control_silo.recovery.losing import declare_lost
from control_silo.recovery.usecases import refuse_lost
from shared import barrier
from shared.errors import PeerRefused
from shared.outbox.domain import SKIP
from shared.rpc.call import Caller
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    organization_ids,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.operators.conftest import Client, Mint

pytestmark = pytest.mark.integration


def declare(client: Client, region: str = "us", request_id: str | None = None) -> Any:
    request = recovery_pb.DeclareRegionLostRequest(region=region, request_id=request_id or str(uuid.uuid4()))
    return client.call(client.recovery.DeclareRegionLost, request)


def recover(client: Client, region: str = "us") -> Any:
    request = recovery_pb.RecoverRegionRequest(region=region, request_id=str(uuid.uuid4()))
    return client.call(client.recovery.RecoverRegion, request)


def test_holds_of_a_lost_region_end_and_others_may_have_the_slugs(silos: Silos, client: Client) -> None:
    silos.drain()
    done, held = organization_ids(1, 2)
    (other,) = organization_ids(2, 1)
    for region, wishes in (("us", [(done, "done"), (held, "acme")]), ("de", [(other, "acme")])):
        add_organizations(silos.regions[region], wishes)
    silos.reserve("us", [(done, "done")])
    silos.drain()
    silos.reserve("us", [(held, "acme")], change_set="imports/2")

    answer = declare(client)

    assert (answer.released_slug_count, answer.skipped_message_count) == (1, 1)
    assert answer.HasField("lost_time")
    assert set(reservations(silos.control)) == {"done"}
    (given,) = silos.reserve("de", [(other, "acme")])
    assert given.slug == "acme"
    silos.drain("control", "de")
    assert region_slugs(silos.regions["us"]) == {done: "done", held: None}, "the late message applies nothing"
    assert region_slugs(silos.regions["de"]) == {other: "acme"}
    skips = [m for _, d in silos.transport.seen for s in d.shards for m in s.messages if m.category == SKIP]
    assert [skip.payload["reason"] for skip in skips] == ["the region was declared lost"]


def test_calls_of_a_lost_region_are_refused_until_it_is_recovered(silos: Silos, client: Client) -> None:
    admit = refuse_lost(silos.control)
    us, de = Caller("silos/us", silo="us"), Caller("silos/de", silo="de")
    admit(us)
    declare(client)
    with pytest.raises(PeerRefused, match="declared lost"):
        admit(us)
    admit(de)
    with pytest.raises(PeerRefused, match="declared lost"):
        silos.reserve("us", [(organization_ids(1, 1)[0], "acme")])
    recovered = recover(client)
    assert not recovered.HasField("lost_time")
    admit(us)


def test_what_a_lost_region_was_given_is_never_given_again_with_the_same_fence_version(
    silos: Silos, client: Client
) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])
    [(_, _, _, before)] = reservations(silos.control).values()
    fence = declare(client).fence
    recover(client)
    silos.reserve("us", [(organization, "acme")])
    [(_, _, _, after)] = reservations(silos.control).values()
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert before < fence < after
    silos.drain()
    assert region_slugs(silos.regions["us"]) == {organization: "acme"}


def test_a_hold_that_is_just_being_made_ends_with_the_declaration(silos: Silos) -> None:
    """The reservation has begun first: the declaration waits for it, and then ends it."""
    (organization,) = organization_ids(1, 1)
    stopped, go_on = threading.Event(), threading.Event()

    def stop(times: int) -> None:
        stopped.set()
        assert go_on.wait(20)

    def lose() -> None:
        silos.control.transact(lambda t: declare_lost(t, sending_registry(), region="us", request_id=str(uuid.uuid4())))

    with barrier.registered("slugs.reserved", stop):
        reserving = threading.Thread(target=silos.reserve, args=("us", [(organization, "acme")]))
        reserving.start()
        assert stopped.wait(20)
        losing = threading.Thread(target=lose)
        losing.start()
        wait_for_a_blocked_session(silos.control)
        go_on.set()
        reserving.join(20)
        losing.join(20)
    assert reservations(silos.control) == {}
    found = rows(silos.control, "SELECT category, skip_reason FROM outbox_message WHERE category = 'apply_slugs'")
    assert found == [("apply_slugs", "the region was declared lost")]


def test_a_declaration_is_audited_once_and_a_repeat_gets_the_same_answer(silos: Silos, client: Client) -> None:
    request_id = str(uuid.uuid4())
    first, second = (declare(client, request_id=request_id) for _ in range(2))
    assert first == second
    found = rows(silos.control, "SELECT action, target, request_id FROM audit_entry WHERE action LIKE 'region.%'")
    assert found == [("region.declare_lost", "regions/us", request_id)]


def test_an_unknown_region_and_a_smaller_scope_are_refused(client: Client, mint: Mint) -> None:
    request = recovery_pb.DeclareRegionLostRequest(region="fr", request_id=str(uuid.uuid4()))
    assert client.refused(client.recovery.DeclareRegionLost, request).reason == "RESOURCE_NOT_FOUND"
    for secret, reason in (
        (mint(scopes=("org:admin",)), "SCOPE_MISSING"),
        (mint(organization_id=7), "PERMISSION_DENIED"),
    ):
        client.secret = secret
        told = client.refused(client.recovery.DeclareRegionLost, request)
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)
