"""Giving messages up: what is written for it, and who is told in the same transaction."""

from collections.abc import Callable, Sequence

import structlog

from shared import errors
from shared.database import Transaction
from shared.outbox import parking_store
from shared.outbox.domain import Parked
from shared.outbox.registry import OnParked, Registry
from shared.outbox.settling import Settlement
from shared.requests.domain import RequestKey, StoredError
from shared.requests.usecases import finish

_log = structlog.get_logger("siloway.outbox")


def park(transaction: Transaction, registry: Registry, settlement: Settlement) -> None:
    """Write what a settlement gives up, and tell who waits for it."""
    parked = settlement.parked
    if parked is None:
        return
    ids = [row.id for row in settlement.parked_rows]
    if settlement.is_latest:
        parking_store.park_subject(transaction, parked, ids)
    else:
        parking_store.park_message(transaction, ids)
    _log.error(
        "message_parked",
        target=parked.target,
        aggregate=parked.aggregate,
        category=parked.category,
        subject=parked.subject,
        sequence=parked.sequence,
        refusals=parked.refusals,
        error=parked.error,
    )
    tell(transaction, registry, parked)


def tell(transaction: Transaction, registry: Registry, parked: Parked) -> None:
    """Tell who waits for the message. What they break is undone and logged: it must not keep the others waiting."""
    told = registry.on_parked(parked.category)
    if told is None:
        return
    parking_store.begin_telling(transaction)
    try:
        told(transaction, parked)
    except Exception:  # noqa: BLE001 - whatever it is, the shard's other messages go on
        _log.exception("on_parked_failed", category=parked.category, aggregate=parked.aggregate)
        parking_store.undo_telling(transaction)
    else:
        parking_store.end_telling(transaction)


def fails_request(key_of: Callable[[Parked], RequestKey | None]) -> OnParked:
    """Who is told closes the RUNNING request that the message belongs to as FAILED, with the reason MESSAGE_PARKED.

    `key_of` finds the request's key in the message, or None when it belongs to none.
    """

    def told(transaction: Transaction, parked: Parked) -> None:
        key = key_of(parked)
        if key is not None:
            finish(transaction, key, error=StoredError.of(message_parked(parked)))

    return told


def message_parked(parked: Parked) -> errors.MessageParked:
    """The refusal that a request ends with when its message was given up."""
    return errors.MessageParked(
        f"{parked.target} does not take a message of this request: {parked.error}",
        metadata={
            "target": parked.target,
            "shard": parked.aggregate,
            "sequence": str(parked.sequence),
            "peer_reason": parked.reason,
        },
    )


def subjects_of(settlements: Sequence[tuple[str, Settlement]], registry: Registry) -> list[tuple[str, str, str]]:
    """The LATEST subjects, with their shards, that these settlements are done with by a message that was no skip."""
    return sorted(
        {
            (aggregate, row.category, row.subject)
            for aggregate, settlement in settlements
            for row in settlement.done
            if row.skip_reason is None and registry.sends(row.category) and registry.is_latest(row.category)
        }
    )
