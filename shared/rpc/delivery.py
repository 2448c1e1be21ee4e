"""Deliveries on the wire, for both silos: outbox types to generated messages and back, and the calls in between.

Every category has one field of the message's `effect`; a deletion carries that field empty, so the receiver knows
what is gone. A delivery larger than one call may be goes in several: shards are independent.
"""

from collections.abc import Callable, Sequence

from siloway.internal.v1 import delivery_pb2 as delivery_pb

from shared import delivery as shapes
from shared import errors
from shared.outbox.domain import SKIP, Delivery, Message, Outcome, ShardDelivery, ShardResult
from shared.rpc.call import current_caller
from shared.rpc.channel import InternalChannel
from shared.rpc.effects import FILL, READ

_OUTCOMES = {
    Outcome.APPLIED: delivery_pb.ShardResult.OUTCOME_APPLIED,
    Outcome.GAP: delivery_pb.ShardResult.OUTCOME_GAP,
    Outcome.REFUSED: delivery_pb.ShardResult.OUTCOME_REFUSED,
    Outcome.EPOCH_UNKNOWN: delivery_pb.ShardResult.OUTCOME_EPOCH_UNKNOWN,
}
_OUTCOMES_BACK = {wire: outcome for outcome, wire in _OUTCOMES.items()}

Deliver = Callable[..., delivery_pb.DeliverMessagesResponse]


def send(channel: InternalChannel, method: Deliver, delivery: Delivery, timeout_s: float) -> list[ShardResult]:
    """Deliver through a stub's DeliverMessages; one result a shard, in their order.

    Raises PeerUnavailable when the peer cannot be reached or does not answer in time, Internal when it finds the
    delivery malformed.
    """
    try:
        response = channel.invoke(method, to_wire(delivery), timeout_s=timeout_s)
    except errors.DeadlineExceeded as error:
        raise errors.PeerUnavailable from error
    return [_result_from_wire(result) for result in response.results]


def to_wire(delivery: Delivery) -> delivery_pb.DeliverMessagesRequest:
    """The delivery as a request."""
    return delivery_pb.DeliverMessagesRequest(
        origin=delivery.origin, epoch=delivery.epoch, shards=[_shard_to_wire(shard) for shard in delivery.shards]
    )


def from_wire(request: delivery_pb.DeliverMessagesRequest) -> Delivery:
    """The delivery that a request holds. Raises InvalidArgument for a message without a known effect."""
    return Delivery(request.origin, request.epoch, tuple(_shard_from_wire(shard) for shard in request.shards))


def from_peer(request: delivery_pb.DeliverMessagesRequest) -> Delivery:
    """The delivery of the calling silo. Raises PeerRefused when it names another origin than its certificate."""
    silo = current_caller().silo
    if silo is None or request.origin != silo:
        raise errors.PeerRefused("the origin is not the caller's name", metadata={"origin": request.origin})
    return from_wire(request)


def results_to_wire(results: Sequence[ShardResult]) -> delivery_pb.DeliverMessagesResponse:
    """The receiver's answer."""
    return delivery_pb.DeliverMessagesResponse(
        results=[
            delivery_pb.ShardResult(
                aggregate=result.aggregate,
                outcome=_OUTCOMES[result.outcome],
                last_sequence=result.last_sequence,
                reason=result.reason,
                message=result.message,
            )
            for result in results
        ]
    )


def _result_from_wire(result: delivery_pb.ShardResult) -> ShardResult:
    outcome = _OUTCOMES_BACK.get(result.outcome)
    if outcome is None:
        raise errors.Internal("the peer's answer has no outcome")
    return ShardResult(
        result.aggregate, outcome, reason=result.reason, message=result.message, last_sequence=result.last_sequence
    )


def _shard_to_wire(shard: ShardDelivery) -> delivery_pb.ShardDelivery:
    return delivery_pb.ShardDelivery(
        aggregate=shard.aggregate,
        previous_sequence=shard.previous_sequence,
        last_sequence=shard.last_sequence,
        messages=[_message_to_wire(message) for message in shard.messages],
    )


def _shard_from_wire(shard: delivery_pb.ShardDelivery) -> ShardDelivery:
    return ShardDelivery(
        shard.aggregate,
        shard.previous_sequence,
        shard.last_sequence,
        tuple(_message_from_wire(shard.aggregate, message) for message in shard.messages),
    )


def _message_to_wire(message: Message) -> delivery_pb.Message:
    wire = delivery_pb.Message(
        sequence=message.sequence, subject=message.subject, version=message.version, deleted=message.deleted
    )
    FILL[message.category](wire, message)
    return wire


def _message_from_wire(aggregate: str, wire: delivery_pb.Message) -> Message:
    effect = wire.WhichOneof("effect")
    if effect is None:
        raise errors.InvalidArgument.of("shards.messages.effect", "is missing, or of a newer version")
    if effect == SKIP:
        return Message(aggregate, wire.sequence, SKIP, wire.subject, payload={"reason": wire.skip.reason})
    return Message(
        aggregate,
        wire.sequence,
        effect,
        wire.subject,
        payload={} if wire.deleted else shapes.encode(READ[effect](wire)),
        version=wire.version,
        deleted=wire.deleted,
    )
