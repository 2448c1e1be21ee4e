"""Makes deliveries of claimed shards: coalesces LATEST messages onto the state just read, and cuts to size.

A shard's part covers the sequences from its first message to the last one kept without a hole; the ids that it settles
are exactly the rows it stands for. A row with a skip reason goes as a typed skip.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from shared.database import Transaction
from shared.outbox.domain import SKIP, Message, ShardDelivery, SubjectState
from shared.outbox.registry import Registry
from shared.outbox.settings import DrainerSettings
from shared.outbox.store import ClaimedShard, StoredMessage

_MESSAGE_OVERHEAD_BYTES = 200

States = Mapping[tuple[str, str], SubjectState]


@dataclass(frozen=True)
class Part:
    """One shard's part of a delivery, and the rows that it stands for.

    `attempts` are the shard's refusals in a row so far; `retry_at` is set when the shard is tried before its wait is
    over, because of a fresh message.
    """

    shard: ShardDelivery
    rows: tuple[StoredMessage, ...]
    attempts: int
    bytes: int
    retry_at: datetime | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(row.id for row in self.rows)

    @classmethod
    def undeliverable(cls, shard: ClaimedShard) -> "Part":
        """The part of a shard that stays here: nothing to deliver, but its messages to back off."""
        return cls(ShardDelivery(shard.aggregate, 0, 0, ()), shard.messages, shard.attempts, 0)

    def head(self) -> "Part":
        """The part up to its first message, to find out whether that is the one that is not taken."""
        first = self.shard.messages[0]
        cut = replace(self.shard, last_sequence=first.sequence, messages=(first,))
        return replace(self, shard=cut, rows=tuple(row for row in self.rows if row.sequence <= first.sequence))


def read_states(transaction: Transaction, registry: Registry, shards: Sequence[ClaimedShard]) -> States:
    """The state of every LATEST subject, by (category, subject): read after the claim, so no older than its message."""
    subjects: dict[str, dict[str, None]] = {}
    for shard in shards:
        for message in shard.messages:
            if message.skip_reason is None and is_latest(registry, message.category):
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
            coalesces = stored.skip_reason is None and registry.is_latest(stored.category)
            key = (stored.category, stored.subject) if coalesces else stored.id
            messages.pop(key, None)
            messages[key] = message
    first, last = kept[0].sequence, kept[-1].sequence
    delivered = ShardDelivery(shard.aggregate, first - 1, last, tuple(messages.values()))
    return Part(delivered, tuple(kept), shard.attempts, size, shard.retry_at)


def is_latest(registry: Registry, category: str) -> bool:
    """Whether this silo sends the category and it coalesces."""
    return registry.sends(category) and registry.is_latest(category)


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
    if stored.skip_reason is not None:
        return Message(aggregate, stored.sequence, SKIP, stored.subject, {"reason": stored.skip_reason})
    if not registry.is_latest(stored.category):
        return Message(aggregate, stored.sequence, stored.category, stored.subject, stored.payload or {})
    state = states.get((stored.category, stored.subject))
    if state is None:  # gone, and the target was told before
        return None
    version, deleted, values = state
    return Message(aggregate, stored.sequence, stored.category, stored.subject, values, version, deleted)
