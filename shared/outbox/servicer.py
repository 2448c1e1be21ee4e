"""OutboxService on the wire: one silo's outbox, for operators."""

from datetime import datetime

import grpc
from siloway.common.v1 import outbox_service_pb2 as outbox_pb
from siloway.common.v1 import outbox_service_pb2_grpc as outbox_rpc

from shared import requests
from shared.database import Database
from shared.outbox import operating
from shared.outbox.domain import CHANNEL
from shared.outbox.operating import Replayed, ShardView, Skipped
from shared.outbox.operating_store import Order, ParkedSubject, Shard, ShownMessage
from shared.outbox.payloads import shown
from shared.outbox.registry import Registry
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method
from shared.rpc.wire import timestamp

_SERVICE = "/siloway.common.v1.OutboxService"
_OPERATE = ("silo:operate",)

METHODS = (
    Method(f"{_SERVICE}/ListShards", Door.PUBLIC, _OPERATE),
    Method(f"{_SERVICE}/GetShard", Door.PUBLIC, _OPERATE),
    Method(f"{_SERVICE}/ReplayShard", Door.PUBLIC, _OPERATE, mutating=True),
    Method(f"{_SERVICE}/SkipMessage", Door.PUBLIC, _OPERATE, mutating=True),
)


class OutboxServicer(outbox_rpc.OutboxServiceServicer):
    """Serves the outbox in the database; `registry` is that of the categories which this silo sends."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    def ListShards(
        self, request: outbox_pb.ListShardsRequest, context: grpc.ServicerContext
    ) -> outbox_pb.ListShardsResponse:
        del context
        page, token = self._database.read(
            lambda transaction: operating.list_shards(
                transaction,
                order=Order.DEPTH if request.order == outbox_pb.ListShardsRequest.ORDER_DEPTH else Order.AGE,
                target=request.target,
                parked_only=request.parked_only,
                page_size=request.page_size,
                token=request.page_token,
            )
        )
        now = self._database.clock.now()
        return outbox_pb.ListShardsResponse(shards=[_shard(shard, now) for shard in page], next_page_token=token)

    def GetShard(self, request: outbox_pb.GetShardRequest, context: grpc.ServicerContext) -> outbox_pb.OutboxShard:
        del context
        target, aggregate = _parse(request.name)
        view = self._database.read(
            lambda transaction: operating.get_shard(
                transaction,
                target=target,
                aggregate=aggregate,
                after_sequence=request.after_sequence,
                messages_max=request.page_size,
            )
        )
        return _view(view, self._database.clock.now())

    def ReplayShard(
        self, request: outbox_pb.ReplayShardRequest, context: grpc.ServicerContext
    ) -> outbox_pb.ReplayShardResponse:
        del context
        target, aggregate = _parse(request.name)
        asked = mutation(request)
        replayed = self._database.transact(
            lambda transaction: requests.once(
                transaction,
                asked,
                Replayed,
                lambda: operating.replay_shard(
                    transaction, self._registry, target=target, aggregate=aggregate, request_id=asked.request_id
                ),
                resource=lambda _: request.name,
            )
        )
        self._wake()
        return outbox_pb.ReplayShardResponse(name=request.name, subject_count=replayed.subjects)

    def SkipMessage(
        self, request: outbox_pb.SkipMessageRequest, context: grpc.ServicerContext
    ) -> outbox_pb.SkipMessageResponse:
        del context
        target, aggregate = _parse(request.name)
        asked = mutation(request)
        skipped = self._database.transact(
            lambda transaction: requests.once(
                transaction,
                asked,
                Skipped,
                lambda: operating.skip_message(
                    transaction,
                    self._registry,
                    target=target,
                    aggregate=aggregate,
                    sequence=request.sequence,
                    reason=request.reason,
                    request_id=asked.request_id,
                ),
                resource=lambda _: request.name,
            )
        )
        self._wake()
        return outbox_pb.SkipMessageResponse(
            name=request.name, sequence=skipped.sequence, category=skipped.category, subject=skipped.subject
        )

    def _wake(self) -> None:
        if self._database.wake is not None:
            self._database.wake(CHANNEL)


def _parse(name: str) -> tuple[str, str]:
    target, _, aggregate = name.removeprefix("targets/").partition("/shards/")
    return target, aggregate


def _view(view: ShardView, now: datetime) -> outbox_pb.OutboxShard:
    shard = _shard(view.shard, now)
    shard.messages.extend(_message(message) for message in view.messages)
    shard.parked_subjects.extend(_subject(subject) for subject in view.subjects)
    shard.next_sequence = view.next_sequence
    return shard


def _shard(shard: Shard, now: datetime) -> outbox_pb.OutboxShard:
    waits = shard.parked_at is None and shard.available_at is not None and shard.available_at > now
    return outbox_pb.OutboxShard(
        name=operating.shard_name(shard.target, shard.aggregate),
        target=shard.target,
        aggregate=shard.aggregate,
        state=_state(shard, now, waits=waits),
        depth=shard.depth,
        parked_subject_count=shard.parked_subjects,
        oldest_time=timestamp(shard.oldest_at),
        refusals=shard.attempts,
        next_attempt_time=timestamp(shard.available_at) if waits else None,
        park_time=timestamp(shard.parked_at),
    )


def _state(shard: Shard, now: datetime, *, waits: bool) -> outbox_pb.OutboxShard.State.ValueType:
    if shard.parked_at is not None or shard.depth == 0:
        return outbox_pb.OutboxShard.STATE_PARKED
    if shard.lease_until is not None and shard.lease_until > now:
        return outbox_pb.OutboxShard.STATE_DELIVERING
    return outbox_pb.OutboxShard.STATE_BACKING_OFF if waits else outbox_pb.OutboxShard.STATE_READY


def _message(message: ShownMessage) -> outbox_pb.OutboxMessage:
    return outbox_pb.OutboxMessage(
        sequence=message.sequence,
        category=message.category,
        subject=message.subject,
        payload_json=shown(message.payload),
        refusals=message.attempts,
        last_error=message.last_error,
        create_time=timestamp(message.created_at),
        park_time=timestamp(message.parked_at),
        skip_reason=message.skip_reason,
    )


def _subject(subject: ParkedSubject) -> outbox_pb.ParkedSubject:
    return outbox_pb.ParkedSubject(
        category=subject.category,
        subject=subject.subject,
        sequence=subject.sequence,
        refusals=subject.refusals,
        last_error=subject.last_error,
        create_time=timestamp(subject.created_at),
        park_time=timestamp(subject.parked_at),
    )
