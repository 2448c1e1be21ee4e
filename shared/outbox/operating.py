"""What operators do with the outbox: look, replay, skip. Each is one transaction, and each change is audited in it.

Replaying a parked subject sends a fresh message, so its state is read anew and the shard keeps its order. Skipping uses
up a message's place without an effect: the receiver advances over it, and nothing behind it waits any longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared import audit, errors
from shared.database import Transaction
from shared.outbox import operating_store as store
from shared.outbox import parking
from shared.outbox.domain import SKIPPED, WITHDRAWN, OutboxNote, Parked
from shared.outbox.operating_store import Order, ParkedSubject, Shard, ShownMessage
from shared.outbox.registry import Registry
from shared.rpc import page_token

_SUBJECTS_SHOWN = 100
MESSAGES_SHOWN = 100
MESSAGES_SHOWN_MAX = 1000


@dataclass(frozen=True)
class ShardView:
    """A shard with its first messages and parked subjects. `next_sequence` is above 0 when more messages follow."""

    shard: Shard
    messages: tuple[ShownMessage, ...] = ()
    subjects: tuple[ParkedSubject, ...] = ()
    next_sequence: int = 0


@dataclass(frozen=True)
class Replayed:
    """What was replayed: a parked shard or one that waited, and parked subjects."""

    target: str
    aggregate: str
    subjects: int


@dataclass(frozen=True)
class Skipped:
    """Which message will be, or was, passed over."""

    target: str
    aggregate: str
    sequence: int
    category: str
    subject: str


def list_shards(
    transaction: Transaction, *, order: Order, target: str, parked_only: bool, page_size: int, token: str
) -> tuple[list[Shard], str]:
    """A page of shards and the next page's token, empty at the end. Raises InvalidPageToken, InvalidArgument."""
    digest = page_token.query_digest("outboxShards", order.value, target, parked_only)
    size = page_token.page_size(page_size)
    after: tuple[int | datetime, str, str] | None = None
    if token:
        first = datetime if order is Order.AGE else int
        place, after_target, after_aggregate = page_token.decode(token, digest, (first, str, str))
        assert not isinstance(place, str), "decode has checked the types"
        after = (place, str(after_target), str(after_aggregate))
    found = store.list_shards(
        transaction, order=order, target=target or None, parked_only=parked_only, after=after, rows_max=size + 1
    )
    if len(found) <= size:
        return found, ""
    last = found[size - 1]
    position = (last.oldest_at if order is Order.AGE else last.depth, last.target, last.aggregate)
    return found[:size], page_token.encode(position, digest)


def get_shard(
    transaction: Transaction, *, target: str, aggregate: str, after_sequence: int = 0, messages_max: int = 0
) -> ShardView:
    """One shard with up to `messages_max` (0: 100) messages behind a sequence. Raises NotFound when it is empty."""
    shard = _find(transaction, target, aggregate)
    size = page_token.page_size(messages_max, MESSAGES_SHOWN, MESSAGES_SHOWN_MAX)
    messages = store.read_messages(transaction, target, aggregate, after_sequence=after_sequence, rows_max=size + 1)
    subjects = store.read_subjects(transaction, target, aggregate, rows_max=_SUBJECTS_SHOWN)
    next_sequence = messages[size - 1].sequence if len(messages) > size else 0
    return ShardView(shard, tuple(messages[:size]), tuple(subjects), next_sequence)


def replay_shard(
    transaction: Transaction, registry: Registry, *, target: str, aggregate: str, request_id: str | None = None
) -> Replayed:
    """Try a shard again now, and count its refusals anew; parked subjects get a fresh message.

    A shard in which nothing waits any more was replayed before, or has gone by itself: replaying it changes nothing.
    """
    store.lock_lease(transaction, target, aggregate)
    store.make_due(transaction, target, aggregate)
    store.count_anew(transaction, target, aggregate)
    subjects = store.take_subjects(transaction, target, aggregate)
    for category, subject in subjects:
        if registry.sends(category):
            transaction.note(OutboxNote(target, aggregate, category, subject, None))
    audit.record(
        transaction,
        action="outbox.replay",
        target=shard_name(target, aggregate),
        request_id=request_id,
        detail={"subjects": [f"{category}/{subject}" for category, subject in subjects]},
    )
    return Replayed(target, aggregate, len(subjects))


def skip_message(
    transaction: Transaction,
    registry: Registry,
    *,
    target: str,
    aggregate: str,
    sequence: int,
    reason: str,
    request_id: str | None = None,
) -> Skipped:
    """Pass over one message, or drop the parked subject whose place was skipped with that sequence.

    A message that is just being delivered may still arrive; then there is nothing to skip. Raises NotFound, and
    MessageNeeded for one that another silo waits for.
    """
    store.lock_lease(transaction, target, aggregate)
    message = store.lock_message(transaction, target, aggregate, sequence)
    subject = store.take_subject_at(transaction, target, aggregate, sequence)
    found = message or subject
    if found is None:
        raise errors.NotFound(
            "There is no such message; it was delivered, or skipped before.",
            resource=errors.Resource("siloway/OutboxMessage", f"{shard_name(target, aggregate)}/messages/{sequence}"),
        )
    if message is not None:
        if registry.is_needed(message.category):
            raise errors.MessageNeeded(metadata={"category": message.category, "shard": aggregate})
        store.skip(transaction, target, aggregate, sequence, reason)
        if message.parked_at is not None or message.attempts:
            store.make_due(transaction, target, aggregate)
        parking.tell(transaction, registry, _given_up(target, aggregate, message, SKIPPED, reason))
    audit.record(
        transaction,
        action="outbox.skip",
        target=shard_name(target, aggregate),
        request_id=request_id,
        detail={
            "sequence": sequence,
            "category": found.category,
            "subject": found.subject,
            "reason": reason,
            "last_error": found.last_error,
        },
    )
    return Skipped(target, aggregate, sequence, found.category, found.subject)


def skip_queued(
    transaction: Transaction, registry: Registry, *, target: str, categories: Sequence[str], reason: str
) -> int:
    """Pass over all that waits for a target in these categories; returns how many messages.

    The caller audits it, and ends what waits for the messages.
    """
    skipped = store.skip_queued(transaction, target, categories, reason)
    for aggregate, message in skipped:
        parking.tell(transaction, registry, _given_up(target, aggregate, message, WITHDRAWN, reason))
    return len(skipped)


def shard_name(target: str, aggregate: str) -> str:
    """The shard's resource name; the aggregate may hold slashes."""
    return f"targets/{target}/shards/{aggregate}"


def _find(transaction: Transaction, target: str, aggregate: str) -> Shard:
    found = store.list_shards(transaction, order=Order.AGE, target=target, aggregate=aggregate)
    if not found:
        name = shard_name(target, aggregate)
        raise errors.NotFound("Nothing waits in this shard.", resource=errors.Resource("siloway/OutboxShard", name))
    return found[0]


def _given_up(target: str, aggregate: str, message: ShownMessage, how: str, reason: str) -> Parked:
    return Parked(
        target,
        aggregate,
        message.category,
        message.subject,
        message.sequence,
        message.payload,
        message.attempts,
        how,
        f"an operator skipped it: {reason}",
    )
