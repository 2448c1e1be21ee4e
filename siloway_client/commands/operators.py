"""`siloway outbox` and `siloway audit`: what waits between the silos, and who changed what. For operators."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.common.v1 import audit_service_pb2 as audit_pb
from siloway.common.v1 import outbox_service_pb2 as outbox_pb

from siloway_client import output
from siloway_client.client import ControlClient, RegionClient
from siloway_client.options import Json, RequestId, request_id_of, session

outbox_app = typer.Typer(no_args_is_help=True, help="What waits for other silos (needs silo:operate).")
audit_app = typer.Typer(no_args_is_help=True, help="Who changed what, with which right.")

Silo = Annotated[str, typer.Option("--silo", "-s", help="Whose: control, or a region's name.")]
Shard = Annotated[str, typer.Argument(metavar="SHARD", help="As `outbox list` shows it: targets/us/shards/tokens/17.")]
State = outbox_pb.OutboxShard.State


@outbox_app.command("list")
def list_shards(
    context: typer.Context,
    silo: Silo = "control",
    target: Annotated[str, typer.Option(help="Only what waits for this silo.")] = "",
    parked: Annotated[bool, typer.Option("--parked", help="Only what was given up.")] = False,
    by_depth: Annotated[bool, typer.Option("--by-depth", help="The deepest first instead of the oldest.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json_output: Json = False,
) -> None:
    """List the shards in which something waits."""
    order = outbox_pb.ListShardsRequest.ORDER_DEPTH if by_depth else outbox_pb.ListShardsRequest.ORDER_AGE
    request = outbox_pb.ListShardsRequest(page_size=limit, target=target, parked_only=parked, order=order)
    with _client(context, silo) as client:
        answer = client.outbox.ListShards(request)
    if json_output:
        output.as_json(answer.shards)
        return
    rows = [
        (
            shard.name,
            _state(shard),
            shard.depth,
            shard.parked_subject_count,
            output.when(shard.oldest_time),
            output.when(shard.next_attempt_time),
        )
        for shard in answer.shards
    ]
    output.table(("shard", "state", "messages", "parked subjects", "oldest", "next try"), rows)


@outbox_app.command()
def show(
    context: typer.Context,
    shard: Shard,
    silo: Silo = "control",
    after: Annotated[int, typer.Option(min=0, help="Messages behind this sequence only.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    json_output: Json = False,
) -> None:
    """Show one shard with its messages; secrets are blotted out."""
    request = outbox_pb.GetShardRequest(name=shard, after_sequence=after, page_size=limit)
    with _client(context, silo) as client:
        found = client.outbox.GetShard(request)
    if json_output:
        output.as_json(found)
        return
    output.say(f"{found.name}: {_state(found)}, {found.depth} messages, {found.refusals} refusals in a row")
    for message in found.messages:
        output.say(f"  {message.sequence} {message.category} {message.subject} {message.payload_json}".rstrip())
        if message.last_error:
            output.say(f"    refused {message.refusals} times: {message.last_error}")
        if message.skip_reason:
            output.say(f"    will be skipped: {message.skip_reason}")
    for subject in found.parked_subjects:
        output.say(
            f"  parked {output.when(subject.park_time)}: {subject.category} {subject.subject}, was {subject.sequence}"
        )
        output.say(f"    refused {subject.refusals} times: {subject.last_error}")
    if found.next_sequence:
        output.say(f"  more: --after {found.next_sequence}")


@outbox_app.command()
def replay(
    context: typer.Context,
    shard: Shard,
    silo: Silo = "control",
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Try a shard again now, parked or not; parked subjects are sent with their newest state."""
    request = outbox_pb.ReplayShardRequest(name=shard, request_id=request_id_of(request_id))
    with _client(context, silo) as client:
        answer = client.outbox.ReplayShard(request)
    if json_output:
        output.as_json(answer)
    else:
        output.say(f"{answer.name} is tried again now, {answer.subject_count} parked subjects with it")


@outbox_app.command()
def skip(
    context: typer.Context,
    shard: Shard,
    sequence: Annotated[int, typer.Argument(min=1, help="The message's place in the shard.")],
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit.")],
    silo: Silo = "control",
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Give one message up: it will never have an effect, and what stands behind it goes on."""
    request = outbox_pb.SkipMessageRequest(
        name=shard, sequence=sequence, reason=reason, request_id=request_id_of(request_id)
    )
    with _client(context, silo) as client:
        answer = client.outbox.SkipMessage(request)
    if json_output:
        output.as_json(answer)
    else:
        output.say(f"{answer.name}: {answer.category} {answer.subject} at {answer.sequence} is passed over")


@audit_app.command("list")
def list_entries(
    context: typer.Context,
    silo: Silo = "control",
    organization: Annotated[str, typer.Option(help="Only what concerns this organization, by its id.")] = "",
    principal: Annotated[str, typer.Option(help="Only what this principal did, for example tokens/17.")] = "",
    action: Annotated[str, typer.Option(help="Only this action, for example token.revoke.")] = "",
    since: Annotated[str, typer.Option(help="Only from this time on, ISO 8601.")] = "",
    until: Annotated[str, typer.Option(help="Only before this time, ISO 8601.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json_output: Json = False,
) -> None:
    """List privileged changes, the newest first."""
    name = f"organizations/{organization.removeprefix('organizations/')}" if organization else ""
    request = audit_pb.ListAuditEntriesRequest(
        page_size=limit,
        organization=name,
        principal=principal,
        action=action,
        start_time=_time(since, "--since"),
        end_time=_time(until, "--until"),
    )
    with _client(context, silo) as client:
        answer = client.audit.ListAuditEntries(request)
    if json_output:
        output.as_json(answer.audit_entries)
        return
    rows = [
        (
            output.when(entry.create_time),
            entry.principal,
            entry.action,
            entry.target,
            output.struct_text(entry.detail),
        )
        for entry in answer.audit_entries
    ]
    output.table(("time", "principal", "action", "target", "detail"), rows)


def _client(context: typer.Context, silo: str) -> ControlClient | RegionClient:
    targets = session(context).targets()
    return targets.control() if silo == "control" else targets.region(silo)


def _state(shard: outbox_pb.OutboxShard) -> str:
    return State.Name(shard.state).removeprefix("STATE_").lower().replace("_", " ")


def _time(text: str, option: str) -> Timestamp | None:
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no ISO 8601 time", param_hint=option) from None
    timestamp = Timestamp()
    timestamp.FromDatetime(parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC))
    return timestamp
