"""What the target's answer means for the rows of one shard: which are done, whether it backs off, what is parked.

Only a refusal by the handler counts, and only against the message that was refused. A try that a fresh message brought
about before the wait was over does not count: so a message is given up after a time, however busy its shard is. A
LATEST subject is parked alone, the others of its shard go on; an EVERY message parks its shard, for order is promised.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.outbox.composing import Part, is_latest
from shared.outbox.domain import SKIP, Message, Outcome, Parked, ShardResult, back_off_s
from shared.outbox.registry import Registry
from shared.outbox.store import Refusal, StoredMessage

_ERROR_CHARACTERS_MAX = 500
_NO_FAULT_OF_THE_MESSAGE = frozenset({"CATEGORY_UNKNOWN"})


@dataclass(frozen=True)
class Settlement:
    """`done` rows are deleted; without a refusal the shard is given back. `parked` rows are given up."""

    done: tuple[StoredMessage, ...]
    refusal: Refusal | None = None
    parked: Parked | None = None
    parked_rows: tuple[StoredMessage, ...] = ()
    is_latest: bool = False


def settle(
    part: Part, result: ShardResult, registry: Registry, *, target: str, refusals_max: int, now: datetime
) -> Settlement:
    """Decide about one shard's part of a delivery."""
    if result.outcome is Outcome.APPLIED:
        return Settlement(part.rows)
    error = f"{result.outcome.name} {result.reason}: {result.message}"[:_ERROR_CHARACTERS_MAX]
    is_refused = result.outcome is Outcome.REFUSED and result.reason not in _NO_FAULT_OF_THE_MESSAGE
    culprit = _culprit(part, result) if is_refused else None
    if culprit is None:
        attempts = part.attempts + 1
        waited = now + timedelta(seconds=back_off_s(attempts))
        return Settlement((), Refusal(part.shard.aggregate, attempts, waited, part.ids, error))
    done = tuple(row for row in part.rows if row.sequence <= result.last_sequence)
    latest = is_latest(registry, culprit.category)
    group = tuple(row for row in part.rows if _is_of_group(row, culprit, latest=latest, after=result.last_sequence))
    ids = tuple(row.id for row in group)
    before = max(row.attempts for row in group)
    if part.retry_at is not None and before > 0 and not done:
        return Settlement((), Refusal(part.shard.aggregate, part.attempts, part.retry_at, ids, error))
    refusals = before + 1
    if refusals < refusals_max:
        waited = now + timedelta(seconds=back_off_s(refusals))
        refusal = Refusal(part.shard.aggregate, refusals, waited, ids, error, counted=True)
        return Settlement(done, refusal)
    refusal = Refusal(part.shard.aggregate, 0, now, ids, error, counted=True, is_parked=not latest)
    row = group[-1]
    parked = Parked(
        target,
        part.shard.aggregate,
        row.category,
        row.subject,
        row.sequence,
        row.payload,
        refusals,
        result.reason,
        error,
    )
    return Settlement(done, refusal, parked, group, latest)


def _culprit(part: Part, result: ShardResult) -> Message | None:
    """The refused message; none when the answer fits no message, or a skip, which nobody can refuse."""
    after = max(result.last_sequence, part.shard.previous_sequence)
    first = next((message for message in part.shard.messages if message.sequence > after), None)
    return None if first is None or first.category == SKIP else first


def _is_of_group(row: StoredMessage, culprit: Message, *, latest: bool, after: int) -> bool:
    if row.skip_reason is not None or row.sequence <= after:
        return False
    if not latest:
        return row.sequence == culprit.sequence
    return (row.category, row.subject) == (culprit.category, culprit.subject)
