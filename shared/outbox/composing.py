"""Makes deliveries of claimed shards: coalesces LATEST messages onto the state just read, and cuts to size.

A shard's part covers the sequences from its first message to the last one kept without a hole; the ids that it settles
are exactly the rows it stands for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shared.database import Transaction
from shared.outbox.domain import Message, ShardDelivery, SubjectState
from shared.outbox.registry import Registry
from shared.outbox.settings import DrainerSettings
from shared.outbox.store import ClaimedShard, StoredMessage

_MESSAGE_OVERHEAD_BYTES = 200

States = Mapping[tuple[str, str], SubjectState]


@dataclass(frozen=True)
class Part:
    """One shard's part of a delivery, and what settles it."""

    shard: ShardDelivery
    ids: tuple[int, ...]
    attempts: int
    bytes: int

    @classmethod
    def undeliverable(cls, shard: ClaimedShard) -> "Part":
        """The part of a shard that stays here: nothing to deliver, but its messages to back off."""
        ids = tuple(message.id for message in shard.messages)
        return cls(ShardDelivery(shard.aggregate, 0, 0, ()), ids, shard.attempts, 0)


def read_states(transaction: Transaction, registry: Registry, shards: Sequence[ClaimedShard]) -> States:
    """The state of every LATEST subject, by (category, subject): read after the claim, so no older than its message."""
    subjects: dict[str, dict[str, None]] = {}
    for shard in shards:
        for message in shard.messages:
            if registry.sends(message.category) and registry.is_latest(message.category):
                subjects.setdefault(message.category, {})[message.subject] = None
    states: dict[tuple[str, str], SubjectState] = {}
    for category, wanted in subjects.items():
        source = registry.source(category)
        assert source is not None, f"{category} has no source"
        for subject, state in source.read(transaction, list(wanted)).items():
            states[category, subject] = state
    return states


def compose(shard: ClaimedShard, registry: Registry, states: States, settings: DrainerSettings) -> Part:
    """The part for one shard, cut where it grows beyond a delivery (never below one message)."""
    kept: list[StoredMessage] = []
    messages: dict[object, Message] = {}
    size = 0
    for stored in shard.messages:
        message = _message(shard.aggregate, stored, registry, states)
        grown = size + _MESSAGE_OVERHEAD_BYTES + (len(msgspec.json.encode(message.payload)) if message else 0)
        if kept and (grown > settings.bytes_per_delivery or len(kept) >= settings.messages_per_delivery):
            break
        kept.append(stored)
        size = grown
        if message is not None:
            key = (stored.category, stored.subject) if registry.is_latest(stored.category) else stored.id
            messages.pop(key, None)
            messages[key] = message
    first, last = kept[0].sequence, kept[-1].sequence
    delivered = ShardDelivery(shard.aggregate, first - 1, last, tuple(messages.values()))
    return Part(delivered, tuple(stored.id for stored in kept), shard.attempts, size)


def pack(parts: Sequence[Part], settings: DrainerSettings) -> Iterator[list[Part]]:
    """Deliveries of whole parts, each within the limits."""
    batch: list[Part] = []
    count = size = 0
    for part in parts:
        full = count + len(part.ids) > settings.messages_per_delivery or size + part.bytes > settings.bytes_per_delivery
        if batch and full:
            yield batch
            batch, count, size = [], 0, 0
        batch.append(part)
        count += len(part.ids)
        size += part.bytes
    if batch:
        yield batch


def _message(aggregate: str, stored: StoredMessage, registry: Registry, states: States) -> Message | None:
    if not registry.is_latest(stored.category):
        return Message(aggregate, stored.sequence, stored.category, stored.subject, stored.payload or {})
    state = states.get((stored.category, stored.subject))
    if state is None:  # gone, and the target was told before
        return None
    version, deleted, values = state
    return Message(aggregate, stored.sequence, stored.category, stored.subject, values, version, deleted)
