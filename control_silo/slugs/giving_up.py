"""What becomes of a change when a message of it is given up.

It FAILED with MESSAGE_PARKED at once, but keeps the slugs that it holds: a region that comes late could still apply
them. They are free when a replay was answered, or, after an operator has skipped the message, when the region has
acknowledged that it will never apply it (house rule: a hold with a callback ends by the region's answer).
"""

from collections.abc import Sequence

from control_silo.changes import store as change_store
from control_silo.changes import usecases as changes
from control_silo.changes.domain import Change, key_of
from shared import delivery
from shared.database import Transaction
from shared.delivery import ChangeStalled, SlugPair
from shared.errors import MessageParked, PeerRefused, ServiceError
from shared.outbox import enqueue
from shared.outbox.domain import SKIPPED, Parked
from shared.outbox.parking import message_parked


def slugs_given_up(transaction: Transaction, parked: Parked) -> None:
    """A region does not take an ApplySlugs, or an operator skips it."""
    asked = delivery.decode(parked.payload or {}, delivery.ApplySlugs)
    _give_up(transaction, parked, asked.change_set, asked.pairs)


def organization_given_up(transaction: Transaction, parked: Parked) -> None:
    """A region does not take a CreateOrganization, or an operator skips it."""
    asked = delivery.decode(parked.payload or {}, delivery.CreateOrganization)
    _give_up(transaction, parked, asked.change_set, ())


def change_stalled(
    transaction: Transaction, *, region: str, told: Sequence[ChangeStalled], wake: changes.Wake | None = None
) -> None:
    """The outbox's handler: a region cannot get rid of its answer, so the change FAILED until the answer is replayed.

    Raises PeerRefused for a change in which the region has no part.
    """
    keys = {stalled.change_set: key_of(stalled.change_set) for stalled in told}
    locked = change_store.lock(transaction, [key for key in keys.values() if key is not None])
    for stalled in told:
        key = keys[stalled.change_set]
        change = None if key is None else locked.get(key)
        if change is None or not change.is_running:
            continue
        if region not in {change.region, *(move.region for move in change.plan.moves)}:
            raise PeerRefused("a change is not this region's", metadata={"region": region})
        locked[change.key] = changes.give_up(transaction, change, _refusal(region, stalled), wake)


def _give_up(transaction: Transaction, parked: Parked, change_set: str, pairs: Sequence[SlugPair]) -> None:
    key = key_of(change_set)
    if key is not None:
        change: Change | None = change_store.lock(transaction, [key]).get(key)
        if change is not None and change.is_running:
            changes.give_up(transaction, change, message_parked(parked))
    if parked.reason == SKIPPED:
        # Behind the skip in the same shard: a delivery that is still on its way comes before it, or is a repeat.
        enqueue(
            transaction,
            target=parked.target,
            aggregate=parked.aggregate,
            category=delivery.CANCEL,
            subject=parked.subject,
            payload=delivery.encode(delivery.Cancel(change_set, tuple(pairs))),
        )


def _refusal(region: str, stalled: ChangeStalled) -> ServiceError:
    return MessageParked(
        f"control does not take the answer of region {region}: {stalled.error}",
        metadata={
            "target": "control",
            "region": region,
            "shard": stalled.shard,
            "sequence": str(stalled.sequence),
            "peer_reason": stalled.reason,
        },
    )
