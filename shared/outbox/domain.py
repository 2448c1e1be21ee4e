"""The outbox's words: categories, messages, deliveries and their results.

A shard is (target silo, aggregate); its messages carry contiguous sequences in commit order. LATEST messages name a
subject whose state is read when they are delivered; EVERY messages carry a payload and keep their order within
the shard. A message that is given up is delivered as a typed skip, so that the shard keeps no hole.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

CHANNEL = "outbox_saved"
CONTROL = "control"

SKIP = "skip"
"""The category of a delivered message that has no effect but its place; its payload holds the reason."""

SKIPPED = "SKIPPED"
"""The reason of what was given up because an operator skipped it."""

WITHDRAWN = "WITHDRAWN"
"""The reason of what was given up together with all that its target was to get."""


class Mode(Enum):
    """How messages of a category relate to each other."""

    LATEST = "latest"
    EVERY = "every"


class Direction(Enum):
    """Where messages of a category may go."""

    EITHER = "either"
    TO_CONTROL = "to control"
    TO_REGION = "to a region"


@dataclass(frozen=True)
class Category:
    """A kind of message; `name` is stable, for it stands in rows and on the wire."""

    name: str
    mode: Mode
    direction: Direction = Direction.EITHER

    def goes_to(self, target: str) -> bool:
        """Whether its messages may be sent to that silo."""
        if self.direction is Direction.EITHER:
            return True
        return (target == CONTROL) == (self.direction is Direction.TO_CONTROL)


@dataclass(frozen=True)
class OutboxNote:
    """A message as noted inside a transaction. `payload` is None exactly for LATEST."""

    target: str
    aggregate: str
    category: str
    subject: str
    payload: dict[str, object] | None


@dataclass(frozen=True)
class Message:
    """A message as delivered. EVERY: its payload and version 0; LATEST: a state or a deletion, with its version."""

    aggregate: str
    sequence: int
    category: str
    subject: str
    payload: dict[str, object] = field(default_factory=dict)
    version: int = 0
    deleted: bool = False


@dataclass(frozen=True)
class ShardDelivery:
    """What stands in one shard from `previous_sequence` + 1 to `last_sequence`, coalesced where the category allows."""

    aggregate: str
    previous_sequence: int
    last_sequence: int
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Delivery:
    """One call to one target. `epoch` is the sender's; it changes when a sender is restored from a backup."""

    origin: str
    epoch: str
    shards: tuple[ShardDelivery, ...]


class Outcome(Enum):
    """What became of one shard of a delivery."""

    APPLIED = "applied"
    GAP = "gap"
    REFUSED = "refused"
    EPOCH_UNKNOWN = "epoch_unknown"


@dataclass(frozen=True)
class ShardResult:
    """The receiver's answer for one shard; `last_sequence` is what it knows of the shard now.

    REFUSED: the first message behind `last_sequence` is the one that was refused.
    """

    aggregate: str
    outcome: Outcome
    reason: str = ""
    message: str = ""
    last_sequence: int = 0


@dataclass(frozen=True)
class Parked:
    """What was given up after `refusals` of its target's handler, or skipped by an operator before it was applied.

    A LATEST subject has no payload; `reason` and `error` are the last refusal's, or the operator's.
    """

    target: str
    aggregate: str
    category: str
    subject: str
    sequence: int
    payload: dict[str, object] | None
    refusals: int
    reason: str
    error: str


# What a LATEST source reads of a subject: (version, deleted, state). The version is from 1, +1 with each change; a
# deletion is a state with a version of its own, kept as a tombstone by the source until it is delivered.
SubjectState: TypeAlias = tuple[int, bool, dict[str, object]]

BACK_OFF_MAX_S = 3600.0


def back_off_s(refusals: int) -> float:
    """Seconds that a shard waits after its n-th refusal in a row: 2, 4, 8 ... 2048, 3600, 3600."""
    return min(2.0 ** min(refusals, 12), BACK_OFF_MAX_S)
