"""Applies what another silo delivers, each message once and in its shard's order.

The inbox rows (origin, shard) -> last sequence and the effects are one transaction. A whole delivery is applied in one;
when that fails it is done again shard by shard, so that a bad shard fails alone, and then message by message, so that
the sender learns which one is refused. A repeat is dropped, a gap and an epoch that is not the agreed one are refused,
a LATEST message not newer than what its subject has seen is dropped, and a skip has no effect but its place.
"""

from collections.abc import Sequence

import structlog
from psycopg import Error as DriverError
from sqlalchemy.exc import DBAPIError

from shared import barrier, errors
from shared.database import Database, Transaction
from shared.outbox import inbox_store
from shared.outbox.domain import SKIP, Delivery, Message, Outcome, ShardDelivery, ShardResult
from shared.outbox.metrics import APPLIED, DROPPED, INBOX_REFUSED, SKIPPED
from shared.outbox.registry import Registry

_log = structlog.get_logger("siloway.inbox")

# These say that nobody can apply anything just now; the sender must not take them for a refusal of its message.
_OUTAGES = (errors.Unavailable, errors.DeadlineExceeded, errors.Cancelled, errors.ResourceExhausted)


class _CategoryUnknownError(Exception):
    """A message of a category that this silo does not receive."""


def receive(database: Database, registry: Registry, delivery: Delivery) -> list[ShardResult]:
    """Apply a delivery; one result a shard, in its order.

    Raises StoreUnreachable, OutcomeUnknown or DeadlineExceeded when the database failed: the sender repeats everything.
    """
    assert len({shard.aggregate for shard in delivery.shards}) == len(delivery.shards), "a shard stands twice"
    try:
        return database.transact(lambda transaction: _apply(transaction, registry, delivery, delivery.shards))
    except _OUTAGES:
        raise
    except Exception as exc:  # noqa: BLE001 - any handler may fail in any way; the shards decide one by one
        if len(delivery.shards) == 1 and len(delivery.shards[0].messages) <= 1:
            return [_refusal(delivery, delivery.shards[0], exc)]
    if len(delivery.shards) == 1:
        return [_receive_by_message(database, registry, delivery, delivery.shards[0])]
    return [_receive_shard(database, registry, delivery, shard) for shard in delivery.shards]


def _receive_shard(database: Database, registry: Registry, delivery: Delivery, shard: ShardDelivery) -> ShardResult:
    try:
        return _apply_alone(database, registry, delivery, shard)
    except _OUTAGES:
        raise
    except Exception as exc:  # noqa: BLE001 - as above
        if len(shard.messages) <= 1:
            return _refusal(delivery, shard, exc)
    return _receive_by_message(database, registry, delivery, shard)


def _receive_by_message(
    database: Database, registry: Registry, delivery: Delivery, shard: ShardDelivery
) -> ShardResult:
    """Apply message after message up to the refused one; the result's last sequence is the one before it."""
    previous = shard.previous_sequence
    places = [message.sequence for message in shard.messages]
    places[-1] = shard.last_sequence  # behind it stand only messages that needed no delivery
    for message, last in zip(shard.messages, places, strict=True):
        part = ShardDelivery(shard.aggregate, previous, last, (message,))
        try:
            result = _apply_alone(database, registry, delivery, part)
        except _OUTAGES:
            raise
        except Exception as exc:  # noqa: BLE001 - as above
            return _refusal(delivery, part, exc)
        if result.outcome is not Outcome.APPLIED:
            return result
        previous = last
    return ShardResult(shard.aggregate, Outcome.APPLIED, last_sequence=shard.last_sequence)


def _apply_alone(database: Database, registry: Registry, delivery: Delivery, shard: ShardDelivery) -> ShardResult:
    return database.transact(lambda transaction: _apply(transaction, registry, delivery, [shard]))[0]


def _apply(
    transaction: Transaction, registry: Registry, delivery: Delivery, shards: Sequence[ShardDelivery]
) -> list[ShardResult]:
    agreed, resumed = inbox_store.agree_epoch(transaction, delivery.origin, delivery.epoch)
    if agreed != delivery.epoch:
        return [_counted(delivery, _epoch_unknown(shard, 0)) for shard in shards]
    known = inbox_store.lock_shards(transaction, delivery, shards, resumed=resumed)
    results: list[ShardResult] = []
    taken: list[ShardDelivery] = []
    messages: list[Message] = []
    for shard in shards:
        epoch, sequence = known[shard.aggregate]
        if epoch != delivery.epoch:
            results.append(_counted(delivery, _epoch_unknown(shard, sequence)))
        elif shard.previous_sequence > sequence and shard.last_sequence > sequence:
            text = f"sequence {sequence + 1} is missing"
            gap = ShardResult(shard.aggregate, Outcome.GAP, "SEQUENCE_GAP", text, sequence)
            results.append(_counted(delivery, gap))
        else:
            last = max(sequence, shard.last_sequence)
            results.append(ShardResult(shard.aggregate, Outcome.APPLIED, last_sequence=last))
            if shard.last_sequence > sequence:
                taken.append(shard)
                messages.extend(message for message in shard.messages if message.sequence > sequence)
    if taken:
        inbox_store.advance_shards(transaction, delivery, taken)
        _handle(transaction, registry, delivery, messages)
        barrier.reach("inbox_handled")
    dropped = sum(len(shard.messages) for shard in shards) - len(messages)
    transaction.after_commit(lambda: DROPPED.labels(delivery.origin).inc(dropped))
    return results


def _handle(transaction: Transaction, registry: Registry, delivery: Delivery, messages: Sequence[Message]) -> None:
    by_category: dict[str, list[Message]] = {}
    for message in messages:
        by_category.setdefault(message.category, []).append(message)
    for skipped in by_category.pop(SKIP, ()):
        _log.warning(
            "message_skipped",
            origin=delivery.origin,
            aggregate=skipped.aggregate,
            sequence=skipped.sequence,
            reason=skipped.payload.get("reason"),
        )
        transaction.after_commit(SKIPPED.labels(delivery.origin).inc)
    for category, group in by_category.items():
        handler = registry.handler(category)
        if handler is None:
            raise _CategoryUnknownError(f"this silo does not receive {category}")
        fresh = inbox_store.take_newer(transaction, delivery.origin, group) if registry.is_latest(category) else group
        if fresh:
            handler(transaction, fresh)
        count = len(fresh)
        applied = APPLIED.labels(delivery.origin, category)
        transaction.after_commit(lambda applied=applied, count=count: applied.inc(count))  # type: ignore[misc]


def _refusal(delivery: Delivery, shard: ShardDelivery, exc: Exception) -> ShardResult:
    if isinstance(exc, errors.ServiceError):
        reason, text = exc.reason, exc.message
    elif isinstance(exc, _CategoryUnknownError):
        reason, text = "CATEGORY_UNKNOWN", str(exc)
    else:  # what a driver or a bug says stays in this silo's log
        reason, text = errors.Internal.reason, "the handler failed"
    log = _log.error if isinstance(exc, errors.ServiceError | _CategoryUnknownError) else _log.exception
    log(
        "shard_refused",
        origin=delivery.origin,
        aggregate=shard.aggregate,
        reason=reason,
        database_error=isinstance(exc, DBAPIError | DriverError),
    )
    return _counted(delivery, ShardResult(shard.aggregate, Outcome.REFUSED, reason, text, shard.previous_sequence))


def _epoch_unknown(shard: ShardDelivery, last_sequence: int) -> ShardResult:
    text = "the sender's epoch is not the agreed one"
    return ShardResult(shard.aggregate, Outcome.EPOCH_UNKNOWN, "EPOCH_UNKNOWN", text, last_sequence)


def _counted(delivery: Delivery, result: ShardResult) -> ShardResult:
    INBOX_REFUSED.labels(delivery.origin, result.reason).inc()
    return result
