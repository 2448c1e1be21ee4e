"""OutboxService through a real channel: operators see what waits, replay it, and pass over what can never be taken."""

import json
import uuid
from typing import Any

import grpc
import pytest
from siloway.common.v1 import outbox_service_pb2 as outbox_pb
from sqlalchemy import text

from shared import delivery
from shared.database import Transaction
from shared.outbox import enqueue
from shared.outbox.domain import SKIP
from shared.outbox.drainer import Drainer
from shared.outbox.settings import DrainerSettings
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, execute, pending, rows
from tests.integration.operators.conftest import Client, Mint, OpenDoor

pytestmark = pytest.mark.integration

Shard = outbox_pb.OutboxShard


def request_id() -> str:
    return str(uuid.uuid4())


def park(silos: Silos, refusals: int = 1) -> None:
    """Drain control with regions that break whatever handler there is, so that each first message is parked."""
    for database in silos.regions.values():
        execute(database, "ALTER TABLE token RENAME TO token_away")
        execute(database, "ALTER TABLE organization RENAME TO organization_away")
    plain = silos.drainers["control"]
    strict = Drainer(
        silos.control,
        plain._registry,
        silos.transport,
        clock=silos.clock,
        origin="control",
        epoch=plain._epoch,
        settings=DrainerSettings(refusals_max=refusals),
    )
    while strict.drain_once().more:
        pass
    for database in silos.regions.values():
        execute(database, "ALTER TABLE token_away RENAME TO token")
        execute(database, "ALTER TABLE organization_away RENAME TO organization")


def apply_slugs(silos: Silos, aggregate: str, *organizations: int, target: str = "us") -> None:
    def work(transaction: Transaction) -> None:
        for organization in organizations:
            pair = delivery.SlugPair(organization, f"slug-{organization}", 1)
            payload = delivery.encode(delivery.ApplySlugs("imports/1", (pair,)))
            enqueue(
                transaction,
                target=target,
                aggregate=aggregate,
                category=delivery.APPLY_SLUGS,
                subject="imports/1",
                payload=payload,
            )

    silos.control.transact(work)


def listed(client: Client, **given: Any) -> list[Any]:
    answer: Any = client.call(client.outbox.ListShards, outbox_pb.ListShardsRequest(**given))
    return list(answer.shards)


def shard(client: Client, name: str, **given: Any) -> Any:
    return client.call(client.outbox.GetShard, outbox_pb.GetShardRequest(name=name, **given))


def test_shards_are_listed_by_age_and_by_depth_in_pages(silos: Silos, clock: FakeClock, client: Client) -> None:
    silos.drain()
    for number in range(5):
        apply_slugs(silos, f"imports/{number}", *range(1, number + 2), target="us" if number % 2 else "de")
        clock.advance(1)
    seen: list[str] = []
    token = ""
    while True:
        request = outbox_pb.ListShardsRequest(page_size=2, page_token=token)
        answer: Any = client.call(client.outbox.ListShards, request)
        seen += [each.aggregate for each in answer.shards]
        token = answer.next_page_token
        if not token:
            break
    assert seen == [f"imports/{number}" for number in range(5)]
    deepest = listed(client, order=outbox_pb.ListShardsRequest.ORDER_DEPTH, target="us")
    assert [(each.aggregate, each.depth, each.state) for each in deepest] == [
        ("imports/3", 4, Shard.STATE_READY),
        ("imports/1", 2, Shard.STATE_READY),
    ]
    page: Any = client.call(
        client.outbox.ListShards,
        outbox_pb.ListShardsRequest(page_size=1, order=outbox_pb.ListShardsRequest.ORDER_DEPTH),
    )
    request = outbox_pb.ListShardsRequest(
        page_size=1, order=outbox_pb.ListShardsRequest.ORDER_DEPTH, page_token=page.next_page_token
    )
    following: Any = client.call(client.outbox.ListShards, request)
    assert [each.aggregate for each in (*page.shards, *following.shards)] == ["imports/4", "imports/3"]
    other = outbox_pb.ListShardsRequest(page_size=1, page_token=page.next_page_token)
    assert client.refused(client.outbox.ListShards, other).reason == "INVALID_PAGE_TOKEN"


def test_a_parked_subject_is_shown_and_replayed_exactly_once_however_often_it_is_asked(
    silos: Silos, client: Client, mint: Mint
) -> None:
    silos.drain()
    mint(name="late")
    park(silos)
    found = listed(client, parked_only=True)
    assert {(each.target, each.depth, each.parked_subject_count, each.state) for each in found} == {
        ("de", 0, 1, Shard.STATE_PARKED),
        ("us", 0, 1, Shard.STATE_PARKED),
    }
    [name] = [each.name for each in found if each.target == "us"]
    [subject] = shard(client, name).parked_subjects
    assert (subject.category, subject.sequence, subject.refusals) == ("token", 1, 1)
    assert "the handler failed" in subject.last_error
    request = outbox_pb.ReplayShardRequest(name=name, request_id=request_id())
    answers: list[Any] = [client.call(client.outbox.ReplayShard, request) for _ in range(3)]
    assert [answer.subject_count for answer in answers] == [1, 1, 1]
    assert pending(silos.control) == 1
    silos.drain()
    assert len(rows(silos.regions["us"], "SELECT id FROM token WHERE name = 'late'")) == 1
    assert listed(client, target="us") == []
    assert client.refused(client.outbox.GetShard, outbox_pb.GetShardRequest(name=name)).reason == "RESOURCE_NOT_FOUND"
    actions = rows(silos.control, "SELECT action, target, request_id FROM audit_entry WHERE action = 'outbox.replay'")
    assert actions == [("outbox.replay", name, request.request_id)], "a repeat is no second change"


def test_a_skipped_message_leaves_no_gap_and_what_stands_behind_it_goes_on(silos: Silos, client: Client) -> None:
    silos.drain()
    apply_slugs(silos, "imports/1", 11, 12, 13)
    park(silos)
    name = "targets/us/shards/imports/1"
    found = shard(client, name)
    assert (found.state, found.depth) == (Shard.STATE_PARKED, 3)
    assert [message.HasField("park_time") for message in found.messages] == [True, False, False]
    apply_slugs(silos, "imports/1", 14)
    assert silos.drainers["control"].drain_once().claimed == 0
    request = outbox_pb.SkipMessageRequest(name=name, sequence=1, reason="of a test", request_id=request_id())
    for _ in range(2):
        answer: Any = client.call(client.outbox.SkipMessage, request)
        assert (answer.sequence, answer.category, answer.subject) == (1, "apply_slugs", "imports/1")
    silos.transport.seen.clear()
    silos.drain("control")
    [(_, delivered)] = silos.transport.seen
    messages = delivered.shards[0].messages
    assert [(message.sequence, message.category) for message in messages] == [
        (1, SKIP),
        (2, "apply_slugs"),
        (3, "apply_slugs"),
        (4, "apply_slugs"),
        (5, "cancel"),
    ]
    known = rows(silos.regions["us"], "SELECT last_sequence FROM inbox_shard WHERE aggregate = 'imports/1'")
    assert known == [(5,)]
    told = rows(silos.regions["us"], "SELECT payload ->> 'results' FROM outbox_message ORDER BY sequence")
    assert "[11" not in str(told[:-1])
    assert "[12" in str(told[:-1])
    assert "MISSING" in str(told[-1]), "the cancel is answered: the region has no such organization"
    [(detail,)] = rows(silos.control, "SELECT detail FROM audit_entry WHERE action = 'outbox.skip'")
    assert isinstance(detail, dict)
    assert (detail["sequence"], detail["reason"], detail["category"]) == (1, "of a test", "apply_slugs")
    again = outbox_pb.SkipMessageRequest(name=name, sequence=1, reason="of a test", request_id=request_id())
    assert client.refused(client.outbox.SkipMessage, again).reason == "RESOURCE_NOT_FOUND"


def test_a_parked_subject_can_be_dropped(silos: Silos, client: Client, mint: Mint) -> None:
    silos.drain()
    mint(name="late")
    park(silos)
    [name] = [each.name for each in listed(client, target="us")]
    request = outbox_pb.SkipMessageRequest(name=name, sequence=1, reason="gone", request_id=request_id())
    client.call(client.outbox.SkipMessage, request)
    assert listed(client, target="us") == []
    silos.drain()
    assert rows(silos.regions["us"], "SELECT id FROM token WHERE name = 'late'") == []


def test_a_payload_is_shown_without_its_secrets(silos: Silos, client: Client) -> None:
    silos.drain()
    apply_slugs(silos, "imports/1", 11)
    payload = json.dumps(
        {"name": "x", "secret_hash": "abc", "list": [{"password": "p", "note": "siloway_" + "a" * 43}]}
    )
    silos.control.transact(
        lambda t: t.execute(text("UPDATE outbox_message SET payload = CAST(:payload AS jsonb)"), {"payload": payload})
    )
    [message] = shard(client, "targets/us/shards/imports/1").messages
    shown = json.loads(message.payload_json)
    assert shown == {"name": "x", "secret_hash": "***", "list": [{"password": "***", "note": "***"}]}


def test_messages_of_a_deep_shard_come_in_pages(silos: Silos, client: Client) -> None:
    silos.drain()
    apply_slugs(silos, "imports/1", *range(1, 8))
    first = shard(client, "targets/us/shards/imports/1", page_size=5)
    assert ([message.sequence for message in first.messages], first.next_sequence) == ([1, 2, 3, 4, 5], 5)
    rest = shard(client, "targets/us/shards/imports/1", page_size=5, after_sequence=first.next_sequence)
    assert ([message.sequence for message in rest.messages], rest.next_sequence) == ([6, 7], 0)


def test_only_operators_without_an_organization_may_look_or_act(silos: Silos, client: Client, mint: Mint) -> None:
    name = "targets/us/shards/a/1"
    requests: list[tuple[Any, object]] = [
        (client.outbox.ListShards, outbox_pb.ListShardsRequest()),
        (client.outbox.GetShard, outbox_pb.GetShardRequest(name=name)),
        (client.outbox.ReplayShard, outbox_pb.ReplayShardRequest(name=name, request_id=request_id())),
        (
            client.outbox.SkipMessage,
            outbox_pb.SkipMessageRequest(name=name, sequence=1, reason="x", request_id=request_id()),
        ),
    ]
    for secret, reason in (
        (mint(scopes=("org:admin",)), "SCOPE_MISSING"),
        (mint(organization_id=7), "PERMISSION_DENIED"),
    ):
        client.secret = secret
        for method, request in requests:
            told = client.refused(method, request)
            assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)


def test_a_mutation_needs_a_request_id_and_a_reason(client: Client) -> None:
    name = "targets/us/shards/a/1"
    for method, request in (
        (client.outbox.ReplayShard, outbox_pb.ReplayShardRequest(name=name)),
        (client.outbox.SkipMessage, outbox_pb.SkipMessageRequest(name=name, sequence=1, request_id=request_id())),
    ):
        assert client.refused(method, request).code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_region_serves_its_own_outbox(silos: Silos, mint: Mint, open_door: OpenDoor) -> None:
    from region_silo.callbacks.registry import sending_registry
    from region_silo.tokens.usecases import authenticator

    secret = mint(name="for regions")
    silos.drain()
    database = silos.regions["us"]
    client = open_door(database, sending_registry(), authenticator(database, silos.clock, "us"), secret)
    apply_slugs(silos, "imports/1", 11)
    silos.drain("control")
    [found] = listed(client)
    assert (found.target, found.depth) == ("control", 1)
