"""Deliveries arrive as they were sent, and nobody speaks in another silo's name."""

from datetime import UTC, datetime

import pytest
from siloway.internal.v1 import delivery_pb2 as delivery_pb

from shared import delivery as shapes
from shared.deletion import DeletionStage
from shared.errors import InvalidArgument, PeerRefused
from shared.outbox.domain import SKIP, Delivery, Message, Outcome, ShardDelivery, ShardResult
from shared.rpc.call import Caller, acting
from shared.rpc.delivery import from_peer, from_wire, results_to_wire, to_wire

NOW = datetime(2026, 6, 1, 12, 30, 15, 123456, tzinfo=UTC)
EPOCH = "0b7cf1a4-6f1e-4a57-9f0e-6ef0f6f4c111"
PAYLOADS: dict[str, shapes.Payload] = {
    shapes.TOKEN.name: shapes.TokenState(
        bytes(range(32)), "ci", ("*",), ("org:read",), 7, NOW, None, NOW, 8, True, 9, 10
    ),
    shapes.CONFIRMATION.name: shapes.Confirmation(NOW),
    shapes.APPLY_SLUGS.name: shapes.ApplySlugs("imports/1", (shapes.SlugPair(2**53 - 1, "acme", 3),)),
    shapes.SLUGS_APPLIED.name: shapes.SlugsApplied(
        "imports/1", (shapes.SlugResult(1, "a", 1), shapes.SlugResult(2, "b", 1, shapes.CLASH))
    ),
    shapes.ORGANIZATION.name: shapes.OrganizationState("Acme", "", "importing"),
    shapes.ORGANIZATION_DELETION.name: shapes.OrganizationDeletion(DeletionStage.PENDING, NOW),
    shapes.REGION.name: shapes.RegionEntry(2, "127.0.0.1:7720"),
    shapes.CREATE_ORGANIZATION.name: shapes.CreateOrganization("requests/t/1", "acme", 1, "Acme", 7, "", True, True),
    shapes.ORGANIZATION_CREATED.name: shapes.OrganizationCreated("requests/t/1", 2**53 - 1, 1, shapes.CLASH),
    shapes.CANCEL.name: shapes.Cancel("requests/t/1", (shapes.SlugPair(2**53 - 1, "acme", 3),)),
    shapes.DEPLOY_ANNOUNCED.name: shapes.DeployAnnounced(
        2**53 - 1, 7, "shop@1.0", "production", "Friday", "https://x.example", None, NOW, NOW, (1, 2**53 - 1), 2
    ),
    shapes.STATUS_SYNC.name: shapes.StatusSyncs((shapes.StatusSync(1, 2, "jira", "OPS-1", True, "1.0", "a1"),)),
    shapes.CHANGE_STALLED.name: shapes.ChangeStalled("requests/t/1", "requests/t/1", 2, "INTERNAL", "it failed"),
}


def sent(message: Message) -> Delivery:
    return Delivery("us", EPOCH, (ShardDelivery("some/1", 4, 5, (message,)),))


@pytest.mark.parametrize("category", PAYLOADS)
def test_payload_survives_the_wire(category: str) -> None:
    given = sent(Message("some/1", 5, category, "1", payload=shapes.encode(PAYLOADS[category]), version=9))
    arrived = from_wire(delivery_pb.DeliverMessagesRequest.FromString(to_wire(given).SerializeToString()))
    (message,) = arrived.shards[0].messages
    assert (message.sequence, message.category, message.subject, message.version) == (5, category, "1", 9)
    assert shapes.decode(message.payload, type(PAYLOADS[category])) == PAYLOADS[category]  # type: ignore[type-var]
    assert (arrived.origin, arrived.epoch) == ("us", EPOCH)


@pytest.mark.parametrize(
    "category", [shapes.TOKEN.name, shapes.ORGANIZATION.name, shapes.ORGANIZATION_DELETION.name, shapes.REGION.name]
)
def test_deletion_survives_the_wire(category: str) -> None:
    given = sent(Message("some/1", 5, category, "1", version=9, deleted=True))
    arrived = from_wire(delivery_pb.DeliverMessagesRequest.FromString(to_wire(given).SerializeToString()))
    assert arrived == given


def test_skip_survives_the_wire() -> None:
    given = sent(Message("some/1", 5, SKIP, "1", payload={"reason": "parked"}))
    arrived = from_wire(delivery_pb.DeliverMessagesRequest.FromString(to_wire(given).SerializeToString()))
    assert arrived == given


def test_effect_of_another_version_is_refused_not_skipped() -> None:
    request = delivery_pb.DeliverMessagesRequest(
        shards=[delivery_pb.ShardDelivery(messages=[delivery_pb.Message(sequence=1)])]
    )
    with pytest.raises(InvalidArgument):
        from_wire(request)


def test_refusal_of_another_version_is_not_taken_for_a_known_one() -> None:
    result = delivery_pb.SlugsApplied.Result(organization_id=1, refusal="LATER")
    effect = delivery_pb.Message(slugs_applied=delivery_pb.SlugsApplied(results=[result]))
    with pytest.raises(InvalidArgument):
        from_wire(delivery_pb.DeliverMessagesRequest(shards=[delivery_pb.ShardDelivery(messages=[effect])]))


def test_origin_must_be_the_caller() -> None:
    request = to_wire(sent(Message("some/1", 5, shapes.ORGANIZATION.name, "1", deleted=True)))
    with acting(Caller("silos/us", silo="us"), method="/test"):
        assert from_peer(request).origin == "us"
    with acting(Caller("silos/de", silo="de"), method="/test"), pytest.raises(PeerRefused):
        from_peer(request)
    with acting(Caller("tokens/1"), method="/test"), pytest.raises(PeerRefused):
        from_peer(request)


def test_every_outcome_has_its_place_on_the_wire() -> None:
    results = [ShardResult("a/1", outcome, "R", "text", 3) for outcome in Outcome]
    wire = results_to_wire(results).results
    assert [result.outcome for result in wire] == [1, 2, 3, 4]
    assert {result.last_sequence for result in wire} == {3}
