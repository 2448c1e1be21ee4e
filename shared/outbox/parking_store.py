"""The SQL of parking: subjects and messages that are given up, and the end of that.

A parked LATEST subject leaves the shard's way: its rows become skips, and a row of outbox_parked remembers it. A parked
EVERY message stays where it is, with its shard's lease marked as parked.
"""

from collections.abc import Sequence

from sqlalchemy import text

from shared.database import Transaction
from shared.outbox.domain import Parked
from shared.statements import command

PARKED_SKIP = "parked"
"""The reason of a skip that stands for a parked subject; the subject's state comes again with a fresh message."""

_PARK_SUBJECT = text(
    """
    INSERT INTO outbox_parked
        (target, aggregate, category, subject, sequence, refusals, last_error, created_at, parked_at)
    SELECT :target, :aggregate, :category, :subject, :sequence, :refusals, :error,
        coalesce(min(created_at), :now), :now
    FROM outbox_message WHERE id = ANY(CAST(:ids AS bigint[]))
    ON CONFLICT ON CONSTRAINT outbox_parked_pkey DO UPDATE
        SET sequence = excluded.sequence, refusals = excluded.refusals, last_error = excluded.last_error,
            parked_at = excluded.parked_at
    """
)

_MARK_PARKED = text(
    """
    UPDATE outbox_message SET parked_at = :now, skip_reason = coalesce(skip_reason, :skip_reason)
    WHERE id = ANY(CAST(:ids AS bigint[]))
    """
)

_UNPARK_SUBJECTS = text(
    """
    DELETE FROM outbox_parked parked
    USING unnest(CAST(:aggregates AS text[]), CAST(:categories AS text[]), CAST(:subjects AS text[]))
        AS told (aggregate, category, subject)
    WHERE parked.target = :target AND parked.aggregate = told.aggregate
        AND parked.category = told.category AND parked.subject = told.subject
    """
)

_ANY_PARKED = text("SELECT EXISTS (SELECT 1 FROM outbox_parked WHERE target = :target)")

_PARKED_TARGETS = text(
    """
    SELECT target FROM outbox_parked UNION SELECT target FROM outbox_lease WHERE parked_at IS NOT NULL ORDER BY target
    """
)

_COUNT_PARKED = text(
    """
    SELECT (SELECT count(*) FROM outbox_parked WHERE target = :target)
        + (SELECT count(*) FROM outbox_lease WHERE target = :target AND parked_at IS NOT NULL)
    """
)

_SAVEPOINT = text("SAVEPOINT on_parked")
_RELEASE = text("RELEASE SAVEPOINT on_parked")
_UNDO = b"ROLLBACK TO SAVEPOINT on_parked"


def park_subject(transaction: Transaction, parked: Parked, ids: Sequence[int]) -> None:
    """Turn the rows of a LATEST subject into skips, and remember the subject."""
    transaction.execute(
        _PARK_SUBJECT,
        {
            "target": parked.target,
            "aggregate": parked.aggregate,
            "category": parked.category,
            "subject": parked.subject,
            "sequence": parked.sequence,
            "refusals": parked.refusals,
            "error": parked.error,
            "ids": list(ids),
            "now": transaction.now,
        },
    )
    _mark(transaction, ids, PARKED_SKIP)


def park_message(transaction: Transaction, ids: Sequence[int]) -> None:
    """Mark the EVERY message that its shard waits for; the lease is marked with the refusal."""
    _mark(transaction, ids, None)


def unpark_subjects(transaction: Transaction, target: str, subjects: Sequence[tuple[str, str, str]]) -> None:
    """Forget that these (aggregate, category, subject) were parked: a fresh message of theirs was applied."""
    if not subjects or not transaction.execute(_ANY_PARKED, {"target": target}).scalar_one():
        return
    names = ("aggregates", "categories", "subjects")
    columns = {name: [subject[place] for subject in subjects] for place, name in enumerate(names)}
    transaction.execute(_UNPARK_SUBJECTS, {"target": target, **columns})


def parked_targets(transaction: Transaction) -> list[str]:
    """The targets for which something is parked."""
    return list(transaction.execute(_PARKED_TARGETS).scalars())


def count_parked(transaction: Transaction, target: str) -> int:
    """How many subjects and shards are parked."""
    count: int = transaction.execute(_COUNT_PARKED, {"target": target}).scalar_one()
    return count


def begin_telling(transaction: Transaction) -> None:
    """From here on `undo_telling` can take back what is written."""
    transaction.execute(_SAVEPOINT)


def end_telling(transaction: Transaction) -> None:
    """Keep what was written."""
    transaction.execute(_RELEASE)


def undo_telling(transaction: Transaction) -> None:
    """Take back what was written since `begin_telling`."""
    command(transaction.driver, _UNDO)  # the driver would forget the prepared statements of the connection


def _mark(transaction: Transaction, ids: Sequence[int], skip_reason: str | None) -> None:
    transaction.execute(_MARK_PARKED, {"ids": list(ids), "skip_reason": skip_reason, "now": transaction.now})
