"""The SQL of the inbox: agreed epochs, the last sequence of each shard, and the version of each LATEST subject."""

from collections.abc import Sequence

from sqlalchemy import text

from shared.database import Transaction
from shared.outbox.domain import Delivery, Message, ShardDelivery

_READ_EPOCH = text("SELECT epoch, resumed_at IS NOT NULL AS resumed FROM inbox_origin WHERE origin = :origin")

_AGREE_EPOCH = text(
    """
    INSERT INTO inbox_origin (origin, epoch, agreed_at) VALUES (:origin, CAST(:epoch AS uuid), :now)
    ON CONFLICT ON CONSTRAINT inbox_origin_pkey DO NOTHING
    """
)

# One by one and by the key, whatever the planner thinks of a table that it does not know yet: its other plan reads all
# shards of the origin in their order, and compares each of them with each that is wanted.
_LOCK_SHARDS = text(
    """
    SELECT held.aggregate, held.epoch, held.last_sequence
    FROM unnest(CAST(:aggregates AS text[])) AS wanted (aggregate)
    CROSS JOIN LATERAL (
        SELECT aggregate, epoch, last_sequence FROM inbox_shard
        WHERE origin = :origin AND aggregate = wanted.aggregate FOR UPDATE
    ) AS held
    """
)

_ADD_SHARDS = text(
    """
    INSERT INTO inbox_shard (origin, aggregate, epoch, last_sequence, updated_at)
    SELECT :origin, aggregate, CAST(:epoch AS uuid), start, :now
    FROM unnest(CAST(:aggregates AS text[]), CAST(:starts AS bigint[])) AS added (aggregate, start)
    ON CONFLICT ON CONSTRAINT inbox_shard_pkey DO NOTHING
    """
)

_ADVANCE_SHARDS = text(
    """
    INSERT INTO inbox_shard (origin, aggregate, epoch, last_sequence, updated_at)
    SELECT :origin, aggregate, CAST(:epoch AS uuid), last_sequence, :now
    FROM unnest(CAST(:aggregates AS text[]), CAST(:sequences AS bigint[])) AS taken (aggregate, last_sequence)
    ON CONFLICT ON CONSTRAINT inbox_shard_pkey
        DO UPDATE SET epoch = excluded.epoch, last_sequence = excluded.last_sequence, updated_at = excluded.updated_at
    """
)

_TAKE_NEWER = text(
    """
    INSERT INTO inbox_subject (origin, category, subject, version, deleted, updated_at)
    SELECT :origin, :category, subject, version, deleted, :now
    FROM unnest(CAST(:subjects AS text[]), CAST(:versions AS bigint[]), CAST(:deleted AS boolean[]))
        AS came (subject, version, deleted)
    ON CONFLICT ON CONSTRAINT inbox_subject_pkey
        DO UPDATE SET version = excluded.version, deleted = excluded.deleted, updated_at = excluded.updated_at
        WHERE inbox_subject.version < excluded.version
    RETURNING subject
    """
)


def agree_epoch(transaction: Transaction, origin: str, epoch: str) -> tuple[str, bool]:
    """The epoch agreed with `origin`, and whether sequences were agreed on anew since a restore.

    The first contact agrees on the epoch that it brings.
    """
    agreed = transaction.execute(_READ_EPOCH, {"origin": origin}).one_or_none()
    if agreed is None:
        transaction.execute(_AGREE_EPOCH, {"origin": origin, "epoch": epoch, "now": transaction.now})
        agreed = transaction.execute(_READ_EPOCH, {"origin": origin}).one()
    return str(agreed.epoch), agreed.resumed


def lock_shards(
    transaction: Transaction, delivery: Delivery, shards: Sequence[ShardDelivery], *, resumed: bool
) -> dict[str, tuple[str, int]]:
    """(epoch, last sequence) of each shard, locked until the end; a shard never heard of is added with 0.

    With a `resumed` origin it starts where its sender is: that one keeps all that it has not been told the end of, and
    sends the lowest first.
    """
    starts = {shard.aggregate: shard.previous_sequence if resumed else 0 for shard in shards}
    known = _lock(transaction, delivery.origin, list(starts))
    missing = sorted(starts.keys() - known.keys())
    if missing:
        added = {
            "origin": delivery.origin,
            "epoch": delivery.epoch,
            "aggregates": missing,
            "starts": [starts[aggregate] for aggregate in missing],
            "now": transaction.now,
        }
        transaction.execute(_ADD_SHARDS, added)
        known |= _lock(transaction, delivery.origin, missing)
    if resumed:  # one that an old delivery wrote at the moment of the agreement
        known = {
            aggregate: (epoch, sequence) if epoch == delivery.epoch else (delivery.epoch, starts[aggregate])
            for aggregate, (epoch, sequence) in known.items()
        }
    return known


def advance_shards(transaction: Transaction, delivery: Delivery, shards: Sequence[ShardDelivery]) -> None:
    """Remember the last sequences; the shards are locked."""
    transaction.execute(
        _ADVANCE_SHARDS,
        {
            "origin": delivery.origin,
            "epoch": delivery.epoch,
            "aggregates": [shard.aggregate for shard in shards],
            "sequences": [shard.last_sequence for shard in shards],
            "now": transaction.now,
        },
    )


def take_newer(transaction: Transaction, origin: str, messages: Sequence[Message]) -> list[Message]:
    """Those LATEST messages of one category that are newer than what their subjects have seen, one a subject."""
    newest: dict[str, Message] = {}
    for message in messages:
        other = newest.get(message.subject)
        if other is None or other.version < message.version:
            newest[message.subject] = message
    ordered = sorted(newest)
    taken = transaction.execute(
        _TAKE_NEWER,
        {
            "origin": origin,
            "category": messages[0].category,
            "subjects": ordered,
            "versions": [newest[subject].version for subject in ordered],
            "deleted": [newest[subject].deleted for subject in ordered],
            "now": transaction.now,
        },
    )
    fresh = set(taken.scalars().all())
    return [message for subject, message in newest.items() if subject in fresh]


def _lock(transaction: Transaction, origin: str, aggregates: Sequence[str]) -> dict[str, tuple[str, int]]:
    rows = transaction.execute(_LOCK_SHARDS, {"origin": origin, "aggregates": sorted(aggregates)}).all()
    return {row.aggregate: (str(row.epoch), row.last_sequence) for row in rows}
