"""Telling control that it refuses an answer: the change that waits for the answer cannot end before it is replayed."""

from region_silo.slugs.usecases import CONTROL
from shared import delivery
from shared.database import Transaction
from shared.outbox import enqueue
from shared.outbox.domain import Parked


def tell_stalled(transaction: Transaction, parked: Parked) -> None:
    """An answer was parked. What tells so goes in a shard of its own, for the answer's stands still."""
    stalled = delivery.ChangeStalled(
        change_set=str((parked.payload or {})["change_set"]),
        shard=parked.aggregate,
        sequence=parked.sequence,
        reason=parked.reason,
        error=parked.error,
    )
    enqueue(
        transaction,
        target=CONTROL,
        aggregate=f"stalled/{parked.aggregate}",
        category=delivery.CHANGE_STALLED,
        subject=stalled.change_set,
        payload=delivery.encode(stalled),
    )
