"""The SQL of draining: claim shards, read their messages, settle exactly those.

A lease is a whole shard's, never a message's. Claiming locks lease rows only, not the sequences that writers take.
Settling touches the ids that were read under the lease, and only shards whose lease still carries the claim's token: a
message that was committed or taken over meanwhile stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from shared.database import Transaction
from shared.outbox.settings import CLOCK_SKEW_S

_TARGETS = text(
    """
    WITH RECURSIVE found (target) AS (
        (SELECT target FROM outbox_message ORDER BY target LIMIT 1)
        UNION ALL
        SELECT (SELECT m.target FROM outbox_message m WHERE m.target > found.target ORDER BY m.target LIMIT 1)
        FROM found WHERE found.target IS NOT NULL
    )
    SELECT target FROM found WHERE target IS NOT NULL
    """
)

# Array sizes are guessed; a plan made once for all sizes is a bad one for most.
_PLAN_EACH_TIME = text("SET LOCAL plan_cache_mode = force_custom_plan")

# Walks from shard to shard by the index, whatever their depth, until enough are due, and takes the leases of those.
# A shard is due when nobody holds it, it is not parked, and it is not backing off or has got a message since it began.
_CLAIM = text(
    """
    WITH RECURSIVE waiting (aggregate, place, due_count, last_sequence) AS (
        SELECT CAST(:after AS text), 0, 0, CAST(NULL AS bigint)
        UNION ALL
        SELECT following.aggregate, waiting.place + 1,
            waiting.due_count + CASE WHEN due.last_sequence IS NULL THEN 0 ELSE 1 END, due.last_sequence
        FROM waiting CROSS JOIN LATERAL (
            SELECT m.aggregate FROM outbox_message m
            WHERE m.target = :target AND m.aggregate > waiting.aggregate ORDER BY m.aggregate LIMIT 1
        ) AS following
        LEFT JOIN LATERAL (
            SELECT shard.last_sequence
            FROM outbox_shard shard
            LEFT JOIN outbox_lease lease ON lease.target = :target AND lease.aggregate = following.aggregate
            WHERE shard.target = :target AND shard.aggregate = following.aggregate AND (
                lease.aggregate IS NULL
                OR (lease.parked_at IS NULL
                    AND (lease.token IS NULL OR lease.lease_until < :expired_before)
                    AND (lease.available_at <= :now OR shard.last_sequence > lease.seen_sequence))
            )
            LIMIT 1
        ) AS due ON true
        WHERE waiting.place < :walk_max AND waiting.due_count < :shards_max
    ), due AS (
        SELECT aggregate, last_sequence FROM waiting WHERE last_sequence IS NOT NULL
    ), bound AS (
        SELECT CASE
            WHEN max(due_count) = :shards_max OR max(place) = :walk_max THEN max(aggregate) ELSE ''
        END AS next_after
        FROM waiting
    ), claimed AS (
        INSERT INTO outbox_lease (target, aggregate, token, lease_until, available_at, attempts, seen_sequence)
        SELECT :target, aggregate, CAST(:token AS uuid), :lease_until, :now, 0, last_sequence
        FROM due ORDER BY aggregate
        ON CONFLICT ON CONSTRAINT outbox_lease_pkey DO UPDATE
            SET token = excluded.token, lease_until = excluded.lease_until, seen_sequence = excluded.seen_sequence
            WHERE outbox_lease.parked_at IS NULL
                AND (outbox_lease.token IS NULL OR outbox_lease.lease_until < :expired_before)
                AND (outbox_lease.available_at <= :now OR excluded.seen_sequence > outbox_lease.seen_sequence)
        RETURNING aggregate, attempts, available_at
    )
    SELECT claimed.aggregate, claimed.attempts, claimed.available_at, bound.next_after
    FROM bound LEFT JOIN claimed ON true
    """
)

_READ_MESSAGES = text(
    """
    SELECT claimed.aggregate, m.id, m.sequence, m.category, m.subject, m.payload, m.attempts, m.skip_reason
    FROM unnest(CAST(:aggregates AS text[])) WITH ORDINALITY AS claimed (aggregate, place)
    CROSS JOIN LATERAL (
        SELECT id, sequence, category, subject, payload, attempts, skip_reason FROM outbox_message
        WHERE target = :target AND aggregate = claimed.aggregate
        ORDER BY sequence LIMIT :messages_max
    ) AS m
    ORDER BY claimed.place, m.sequence
    """
)

_LOCK_OURS = text(
    """
    SELECT aggregate FROM outbox_lease
    WHERE target = :target AND aggregate = ANY(CAST(:aggregates AS text[])) AND token = CAST(:token AS uuid)
    ORDER BY aggregate FOR UPDATE
    """
)

_DELETE_MESSAGES = text("DELETE FROM outbox_message WHERE id = ANY(CAST(:ids AS bigint[]))")

_DELETE_LEASES = text(
    "DELETE FROM outbox_lease WHERE target = :target AND aggregate = ANY(CAST(:aggregates AS text[]))"
)

_RELEASE_LEASES = text(
    """
    UPDATE outbox_lease SET token = NULL, lease_until = NULL
    WHERE target = :target AND aggregate = ANY(CAST(:aggregates AS text[])) AND token = CAST(:token AS uuid)
    """
)

_BACK_OFF = text(
    """
    UPDATE outbox_lease SET token = NULL, lease_until = NULL, attempts = refused.attempts,
        available_at = refused.available_at, parked_at = CASE WHEN refused.parked THEN CAST(:now AS timestamptz) END
    FROM unnest(
        CAST(:aggregates AS text[]), CAST(:attempts AS integer[]), CAST(:available_at AS timestamptz[]),
        CAST(:parked AS boolean[])
    ) AS refused (aggregate, attempts, available_at, parked)
    WHERE outbox_lease.target = :target AND outbox_lease.aggregate = refused.aggregate
    """
)

_MARK_REFUSED = text(
    """
    UPDATE outbox_message SET attempts = outbox_message.attempts + refused.counted, last_error = refused.error
    FROM unnest(CAST(:ids AS bigint[]), CAST(:counted AS integer[]), CAST(:errors AS text[]))
        AS refused (id, counted, error)
    WHERE outbox_message.id = refused.id
    """
)

_MEASURE = text(
    """
    SELECT
        (
            SELECT count(*) FROM (SELECT 1 FROM outbox_message WHERE target = :target LIMIT :count_max) AS counted
        ) AS depth,
        (SELECT created_at FROM outbox_message WHERE target = :target ORDER BY target, id LIMIT 1) AS oldest
    """
)


class StoredMessage(NamedTuple):
    """A row of the outbox, read under a lease. A tuple, for thousands are made a second."""

    id: int
    sequence: int
    category: str
    subject: str
    payload: dict[str, object] | None
    attempts: int = 0
    skip_reason: str | None = None


@dataclass(frozen=True)
class ClaimedShard:
    """A leased shard: the refusals in a row so far, and its first messages, contiguous.

    `retry_at` is set when its wait is not over: a fresh message has made it due.
    """

    aggregate: str
    attempts: int
    messages: tuple[StoredMessage, ...]
    retry_at: datetime | None = None


@dataclass(frozen=True)
class Claim:
    """What one claim took. `next_after` is where the next one goes on; "" when the walk has come to the end."""

    target: str
    token: str
    shards: tuple[ClaimedShard, ...]
    next_after: str


@dataclass(frozen=True)
class Refusal:
    """A shard to back off or to park: its refusals in a row, when it is due again, the messages that keep the error.

    `counted`: the refusal counts against those messages.
    """

    aggregate: str
    attempts: int
    available_at: datetime
    ids: tuple[int, ...]
    error: str
    counted: bool = False
    is_parked: bool = False


def read_targets(transaction: Transaction) -> list[str]:
    """The targets that have messages."""
    return list(transaction.execute(_TARGETS).scalars())


def claim(
    transaction: Transaction,
    *,
    target: str,
    after: str,
    token: str,
    lease_s: float,
    shards_max: int,
    messages_max: int,
) -> Claim:
    """Lease up to `shards_max` due shards behind the shard `after` and read up to `messages_max` messages of each.

    The messages are read by a statement of their own: its snapshot is younger than every lease that was taken.
    """
    transaction.execute(_PLAN_EACH_TIME)
    transaction.commit_without_waiting()  # a claim that a crash of the database loses leaves free shards
    rows = transaction.execute(
        _CLAIM,
        {
            "target": target,
            "after": after,
            "token": token,
            "now": transaction.now,
            "expired_before": transaction.now - timedelta(seconds=CLOCK_SKEW_S),
            "lease_until": transaction.now + timedelta(seconds=lease_s),
            "shards_max": shards_max,
            "walk_max": shards_max * 10,
        },
    ).all()
    taken = {row.aggregate: row for row in rows if row.aggregate is not None}
    messages = _read_messages(transaction, target, sorted(taken), messages_max)
    emptied = [aggregate for aggregate in taken if aggregate not in messages]
    if emptied:  # another drainer settled them between the two snapshots
        transaction.execute(_DELETE_LEASES, {"target": target, "aggregates": emptied})
    shards = []
    for aggregate, found in messages.items():
        due_at = taken[aggregate].available_at
        retry_at = due_at if due_at > transaction.now else None
        shards.append(ClaimedShard(aggregate, taken[aggregate].attempts, tuple(found), retry_at))
    return Claim(target, token, tuple(shards), rows[0].next_after)


def lock_ours(transaction: Transaction, target: str, token: str, aggregates: Sequence[str]) -> set[str]:
    """Those of the shards whose lease still carries the token, locked until the end."""
    found = transaction.execute(_LOCK_OURS, {"target": target, "token": token, "aggregates": list(aggregates)})
    return set(found.scalars().all())


def settle_applied(transaction: Transaction, target: str, aggregates: Sequence[str], ids: Sequence[int]) -> None:
    """Delete exactly the messages with these ids, and give the shards back."""
    if ids:
        transaction.execute(_DELETE_MESSAGES, {"ids": list(ids)})
    if aggregates:
        transaction.execute(_DELETE_LEASES, {"target": target, "aggregates": list(aggregates)})


def settle_refused(transaction: Transaction, target: str, refusals: Sequence[Refusal]) -> None:
    """Keep the messages, remember why, and let the shards wait."""
    if not refusals:
        return
    transaction.execute(
        _BACK_OFF,
        {
            "target": target,
            "now": transaction.now,
            "aggregates": [refusal.aggregate for refusal in refusals],
            "attempts": [refusal.attempts for refusal in refusals],
            "available_at": [refusal.available_at for refusal in refusals],
            "parked": [refusal.is_parked for refusal in refusals],
        },
    )
    marks = [(each, int(refusal.counted), refusal.error) for refusal in refusals for each in refusal.ids]
    ids, counted, errors = ([mark[place] for mark in marks] for place in range(3))
    transaction.execute(_MARK_REFUSED, {"ids": ids, "counted": counted, "errors": errors})


def release(transaction: Transaction, target: str, token: str, aggregates: Sequence[str]) -> None:
    """Give shards back as they are: they are due at once, and nothing counts against their messages."""
    transaction.execute(_RELEASE_LEASES, {"target": target, "token": token, "aggregates": list(aggregates)})


def measure(transaction: Transaction, target: str, count_max: int = 100_000) -> tuple[int, datetime | None]:
    """How many messages wait (counted up to `count_max`), and when the oldest was written."""
    row = transaction.execute(_MEASURE, {"target": target, "count_max": count_max}).one()
    return row.depth, row.oldest


def _read_messages(
    transaction: Transaction, target: str, aggregates: Sequence[str], messages_max: int
) -> dict[str, list[StoredMessage]]:
    found: dict[str, list[StoredMessage]] = {}
    if aggregates:
        parameters = {"target": target, "aggregates": list(aggregates), "messages_max": messages_max}
        for row in transaction.execute(_READ_MESSAGES, parameters).all():
            message = StoredMessage(
                row.id, row.sequence, row.category, row.subject, row.payload, row.attempts, row.skip_reason
            )
            found.setdefault(row.aggregate, []).append(message)
    return found
