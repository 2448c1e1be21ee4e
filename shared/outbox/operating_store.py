"""The SQL of looking at the outbox and of replaying and skipping by hand.

A shard is shown while it has messages or parked subjects. What is changed here is changed under the lease's row lock,
which a drainer takes to settle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Row, TextClause, text

from shared.database import Transaction


class Order(Enum):
    """How shards are listed: the one with the oldest message first, or the one with the most."""

    AGE = "age"
    DEPTH = "depth"


@dataclass(frozen=True)
class Shard:
    """One shard as operators see it. `attempts` are its refusals in a row; `available_at` is when it is due again."""

    target: str
    aggregate: str
    depth: int
    parked_subjects: int
    oldest_at: datetime
    attempts: int
    available_at: datetime | None
    lease_until: datetime | None
    parked_at: datetime | None


@dataclass(frozen=True)
class ShownMessage:
    """A message that waits; `payload` is None for LATEST, whose state is read when it is delivered."""

    sequence: int
    category: str
    subject: str
    payload: dict[str, object] | None
    attempts: int
    created_at: datetime
    last_error: str
    parked_at: datetime | None
    skip_reason: str


@dataclass(frozen=True)
class ParkedSubject:
    """A LATEST subject that was given up; `sequence` is the place that was skipped for it."""

    category: str
    subject: str
    sequence: int
    refusals: int
    last_error: str
    created_at: datetime
    parked_at: datetime


_SHARDS = """
    WITH waiting (target, aggregate, depth, parked_subjects, oldest_at) AS (
        SELECT target, aggregate, sum(messages), sum(subjects), min(created_at)
        FROM (
            SELECT target, aggregate, 1 AS messages, 0 AS subjects, created_at FROM outbox_message
            WHERE (CAST(:target AS text) IS NULL OR target = :target)
                AND (CAST(:aggregate AS text) IS NULL OR aggregate = :aggregate)
            UNION ALL
            SELECT target, aggregate, 0, 1, created_at FROM outbox_parked
            WHERE (CAST(:target AS text) IS NULL OR target = :target)
                AND (CAST(:aggregate AS text) IS NULL OR aggregate = :aggregate)
        ) AS found
        GROUP BY target, aggregate
    ), shown AS (
        SELECT waiting.*, lease.attempts, lease.available_at, lease.lease_until, lease.parked_at
        FROM waiting LEFT JOIN outbox_lease lease USING (target, aggregate)
        WHERE NOT :parked_only OR waiting.parked_subjects > 0 OR lease.parked_at IS NOT NULL
    )
    SELECT * FROM shown
"""

_SHARDS_BY: dict[Order, TextClause] = {
    Order.AGE: text(
        f"""
        {_SHARDS}
        WHERE CAST(:after_at AS timestamptz) IS NULL
            OR (oldest_at, target, aggregate) > (:after_at, :after_target, :after_aggregate)
        ORDER BY oldest_at, target, aggregate LIMIT :rows_max
        """
    ),
    Order.DEPTH: text(
        f"""
        {_SHARDS}
        WHERE CAST(:after_depth AS bigint) IS NULL
            OR (-depth, target, aggregate) > (-CAST(:after_depth AS bigint), :after_target, :after_aggregate)
        ORDER BY -depth, target, aggregate LIMIT :rows_max
        """
    ),
}

_MESSAGES = text(
    """
    SELECT sequence, category, subject, payload, attempts, created_at, last_error, parked_at, skip_reason
    FROM outbox_message WHERE target = :target AND aggregate = :aggregate AND sequence > :after_sequence
    ORDER BY sequence LIMIT :rows_max
    """
)

_SUBJECTS = text(
    """
    SELECT category, subject, sequence, refusals, last_error, created_at, parked_at
    FROM outbox_parked WHERE target = :target AND aggregate = :aggregate
    ORDER BY category, subject LIMIT :rows_max
    """
)

_LOCK_LEASE = text("SELECT 1 FROM outbox_lease WHERE target = :target AND aggregate = :aggregate FOR UPDATE")

_LOCK_MESSAGE = text(
    """
    SELECT sequence, category, subject, payload, attempts, created_at, last_error, parked_at, skip_reason
    FROM outbox_message WHERE target = :target AND aggregate = :aggregate AND sequence = :sequence FOR UPDATE
    """
)

_MAKE_DUE = text(
    """
    UPDATE outbox_lease SET parked_at = NULL, attempts = 0, available_at = :now
    WHERE target = :target AND aggregate = :aggregate
    """
)

_COUNT_ANEW = text(
    """
    UPDATE outbox_message SET parked_at = NULL, attempts = 0
    WHERE target = :target AND aggregate = :aggregate AND skip_reason IS NULL
        AND (attempts > 0 OR parked_at IS NOT NULL)
    """
)

_TAKE_SUBJECTS = text(
    "DELETE FROM outbox_parked WHERE target = :target AND aggregate = :aggregate RETURNING category, subject"
)

_TAKE_SUBJECT_AT = text(
    """
    DELETE FROM outbox_parked WHERE target = :target AND aggregate = :aggregate AND sequence = :sequence
    RETURNING category, subject, sequence, refusals, last_error, created_at, parked_at
    """
)

_SKIP = text(
    """
    UPDATE outbox_message SET skip_reason = :reason, parked_at = NULL
    WHERE target = :target AND aggregate = :aggregate AND sequence = :sequence
    """
)

_SKIP_QUEUED = text(
    """
    UPDATE outbox_message SET skip_reason = :reason, parked_at = NULL
    WHERE target = :target AND category = ANY(CAST(:categories AS text[])) AND skip_reason IS NULL
    RETURNING aggregate, sequence, category, subject, payload, attempts
    """
)

_MAKE_ALL_DUE = text(
    """
    UPDATE outbox_lease SET parked_at = NULL, attempts = 0, available_at = :now
    WHERE target = :target AND aggregate = ANY(CAST(:aggregates AS text[]))
    """
)


def list_shards(
    transaction: Transaction,
    *,
    order: Order,
    target: str | None,
    aggregate: str | None = None,
    parked_only: bool = False,
    after: tuple[int | datetime, str, str] | None = None,
    rows_max: int = 1,
) -> list[Shard]:
    """Up to `rows_max` shards behind `after`, which is (depth or oldest_at, target, aggregate) by the order."""
    place = None if after is None else after[0]
    rows = transaction.execute(
        _SHARDS_BY[order],
        {
            "target": target,
            "aggregate": aggregate,
            "parked_only": parked_only,
            "after_at" if order is Order.AGE else "after_depth": place,
            "after_target": "" if after is None else after[1],
            "after_aggregate": "" if after is None else after[2],
            "rows_max": rows_max,
        },
    )
    return [
        Shard(
            row.target,
            row.aggregate,
            int(row.depth),
            int(row.parked_subjects),
            row.oldest_at,
            row.attempts or 0,
            row.available_at,
            row.lease_until,
            row.parked_at,
        )
        for row in rows
    ]


def read_messages(
    transaction: Transaction, target: str, aggregate: str, *, after_sequence: int, rows_max: int
) -> list[ShownMessage]:
    """Up to `rows_max` messages of a shard behind a sequence."""
    parameters = {
        "target": target,
        "aggregate": aggregate,
        "after_sequence": after_sequence,
        "rows_max": rows_max,
    }
    return [_message(row) for row in transaction.execute(_MESSAGES, parameters)]


def read_subjects(transaction: Transaction, target: str, aggregate: str, *, rows_max: int) -> list[ParkedSubject]:
    """Up to `rows_max` parked subjects of a shard."""
    parameters = {"target": target, "aggregate": aggregate, "rows_max": rows_max}
    return [_subject(row) for row in transaction.execute(_SUBJECTS, parameters)]


def make_due(transaction: Transaction, target: str, aggregate: str) -> None:
    """End the shard's wait or parking, and count its refusals anew."""
    parameters = {"target": target, "aggregate": aggregate, "now": transaction.now}
    transaction.execute(_MAKE_DUE, parameters)


def count_anew(transaction: Transaction, target: str, aggregate: str) -> None:
    """Forget the refusals of the shard's messages."""
    transaction.execute(_COUNT_ANEW, {"target": target, "aggregate": aggregate})


def take_subjects(transaction: Transaction, target: str, aggregate: str) -> list[tuple[str, str]]:
    """Forget that the shard's subjects are parked; returns (category, subject) of each."""
    rows = transaction.execute(_TAKE_SUBJECTS, {"target": target, "aggregate": aggregate})
    return sorted((row.category, row.subject) for row in rows)


def take_subject_at(transaction: Transaction, target: str, aggregate: str, sequence: int) -> ParkedSubject | None:
    """Forget the subject that was parked with this sequence."""
    parameters = {"target": target, "aggregate": aggregate, "sequence": sequence}
    row = transaction.execute(_TAKE_SUBJECT_AT, parameters).one_or_none()
    return None if row is None else _subject(row)


def lock_lease(transaction: Transaction, target: str, aggregate: str) -> None:
    """Wait for a drainer that is just settling the shard, and keep the next one out until the end."""
    transaction.execute(_LOCK_LEASE, {"target": target, "aggregate": aggregate})


def lock_message(transaction: Transaction, target: str, aggregate: str, sequence: int) -> ShownMessage | None:
    """The message, locked until the end."""
    parameters = {"target": target, "aggregate": aggregate, "sequence": sequence}
    row = transaction.execute(_LOCK_MESSAGE, parameters).one_or_none()
    return None if row is None else _message(row)


def skip(transaction: Transaction, target: str, aggregate: str, sequence: int, reason: str) -> None:
    """Let the message go as a typed skip."""
    parameters = {"target": target, "aggregate": aggregate, "sequence": sequence, "reason": reason}
    transaction.execute(_SKIP, parameters)


def skip_queued(
    transaction: Transaction, target: str, categories: Sequence[str], reason: str
) -> list[tuple[str, ShownMessage]]:
    """Let all waiting messages of these categories for a target go as skips; returns them with their shards."""
    parameters: dict[str, object] = {"target": target, "categories": list(categories), "reason": reason}
    rows = transaction.execute(_SKIP_QUEUED, parameters).all()
    aggregates = sorted({row.aggregate for row in rows})
    transaction.execute(_MAKE_ALL_DUE, {"target": target, "aggregates": aggregates, "now": transaction.now})
    return [
        (
            row.aggregate,
            ShownMessage(
                row.sequence, row.category, row.subject, row.payload, row.attempts, transaction.now, "", None, reason
            ),
        )
        for row in sorted(rows, key=lambda row: (row.aggregate, row.sequence))
    ]


def _message(row: Row[Any]) -> ShownMessage:
    return ShownMessage(
        row.sequence,
        row.category,
        row.subject,
        row.payload,
        row.attempts,
        row.created_at,
        row.last_error or "",
        row.parked_at,
        row.skip_reason or "",
    )


def _subject(row: Row[Any]) -> ParkedSubject:
    return ParkedSubject(
        row.category, row.subject, row.sequence, row.refusals, row.last_error, row.created_at, row.parked_at
    )
