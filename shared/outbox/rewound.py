"""Noticing by a target's answer that this silo's database has forgotten what it has sent.

A target that has applied more of a shard than its sequence was ever raised to has heard a later life of this database:
what is sent now would be dropped there as a repeat. Such an answer settles nothing; the messages stay until doctor has
brought both in step.
"""

from collections.abc import Sequence

from sqlalchemy import text

from shared.database import Transaction
from shared.outbox.composing import Part
from shared.outbox.domain import Outcome, ShardResult

REASON = "RECEIVER_AHEAD"

_LAST = text(
    """
    SELECT aggregate, last_sequence FROM outbox_shard
    WHERE target = :target AND aggregate = ANY(CAST(:aggregates AS text[]))
    """
)


def check_answers(
    transaction: Transaction, target: str, answered: Sequence[tuple[Part, ShardResult]]
) -> list[tuple[Part, ShardResult]]:
    """The answers, those that tell of a later life turned into EPOCH_UNKNOWN / RECEIVER_AHEAD."""
    ahead = [
        result.aggregate
        for part, result in answered
        if result.outcome is Outcome.APPLIED and result.last_sequence > part.shard.last_sequence
    ]
    if not ahead:  # another drainer was faster, or a repeat: both are rare
        return list(answered)
    given = {
        row.aggregate: row.last_sequence for row in transaction.execute(_LAST, {"target": target, "aggregates": ahead})
    }
    return [(part, _checked(result, given.get(result.aggregate))) for part, result in answered]


def _checked(result: ShardResult, given: int | None) -> ShardResult:
    if given is None or result.outcome is not Outcome.APPLIED or result.last_sequence <= given:
        return result
    text = f"the target has applied {result.last_sequence}, this silo has given out {given}: was it restored?"
    return ShardResult(result.aggregate, Outcome.EPOCH_UNKNOWN, REASON, text, result.last_sequence)
