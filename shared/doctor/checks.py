"""The checks that every silo has: its outbox, its inbox, its request records, its ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.database import Transaction
from shared.doctor import store
from shared.doctor.domain import Found, IdPlace, Key, Looked, When
from shared.doctor.part import Check
from shared.doctor.sql_check import SqlCheck

_FREE_LEASE = text(
    """
    DELETE FROM outbox_lease AS lease
    WHERE target = :target AND aggregate = :aggregate AND parked_at IS NULL AND NOT EXISTS (
        SELECT FROM outbox_message m WHERE m.target = lease.target AND m.aggregate = lease.aggregate
    )
    """
)


def _free_lease(transaction: Transaction, key: Key) -> bool:
    target, aggregate = key
    return transaction.execute(_FREE_LEASE, {"target": target, "aggregate": aggregate}).rowcount == 1


OUTBOX_CONTIGUOUS = SqlCheck(
    "outbox_contiguous",
    "What waits in a shard of the outbox has no holes and ends at the shard's last sequence (I5).",
    When.ALWAYS,
    table="outbox_shard",
    key=("target", "aggregate"),
    key_types=(str, str),
    columns="last_sequence",
    wrong="""
        SELECT k1, k2, format('%s messages from %s to %s, last sequence %s', n, low, high, last_sequence) AS says
        FROM looked CROSS JOIN LATERAL (
            SELECT count(*) AS n, min(sequence) AS low, max(sequence) AS high FROM outbox_message
            WHERE target = k1 AND aggregate = k2
        ) AS waiting
        WHERE n > 0 AND (high <> last_sequence OR high - low + 1 <> n)
    """,
)

DEAD_LEASES = SqlCheck(
    "dead_leases",
    "No lease stays behind where nothing waits any more.",
    When.QUIET,
    table="outbox_lease",
    key=("target", "aggregate"),
    key_types=(str, str),
    columns="coalesce(lease_until, available_at) AS ends_at, parked_at",
    wrong="""
        SELECT k1, k2, format('ended %s', ends_at) AS says FROM looked
        WHERE ends_at < :older_than AND parked_at IS NULL
            AND NOT EXISTS (SELECT FROM outbox_message WHERE target = k1 AND aggregate = k2)
    """,
    mend=_free_lease,
)

PARKED_SHARDS = SqlCheck(
    "parked_shards",
    "No shard is parked; `siloway outbox replay` or `skip` ends it.",
    When.QUIET,
    table="outbox_lease",
    key=("target", "aggregate"),
    key_types=(str, str),
    columns="parked_at",
    wrong="SELECT k1, k2, format('parked since %s', parked_at) AS says FROM looked WHERE parked_at IS NOT NULL",
)

PARKED_SUBJECTS = SqlCheck(
    "parked_subjects",
    "No subject is parked; `siloway outbox replay` sends its newest state.",
    When.QUIET,
    table="outbox_parked",
    key=("target", "aggregate", "category", "subject"),
    key_types=(str, str, str, str),
    columns="last_error",
    wrong="SELECT k1, k2, k3, k4, format('%s %s: %s', k3, k4, last_error) AS says FROM looked",
)

OUT_OF_STEP = SqlCheck(
    "out_of_step",
    "No target refuses this silo's epoch or sequences; `siloway doctor --after-restore` brings them in step.",
    When.QUIET,
    table="outbox_lease",
    key=("target", "aggregate"),
    key_types=(str, str),
    columns="attempts",
    wrong="""
        SELECT k1, k2, first.last_error AS says
        FROM looked CROSS JOIN LATERAL (
            SELECT last_error FROM outbox_message WHERE target = k1 AND aggregate = k2 ORDER BY sequence LIMIT 1
        ) AS first
        WHERE attempts > 0 AND (starts_with(last_error, 'EPOCH_UNKNOWN') OR starts_with(last_error, 'GAP'))
    """,
)

INBOX_EPOCHS = SqlCheck(
    "inbox_epochs",
    "Every shard that was heard of has the epoch that was agreed on with its origin.",
    When.ALWAYS,
    table="inbox_shard",
    key=("origin", "aggregate"),
    key_types=(str, str),
    columns="epoch",
    wrong="""
        SELECT k1, k2, format('epoch %s, agreed is %s', looked.epoch, coalesce(agreed.epoch::text, 'none')) AS says
        FROM looked LEFT JOIN inbox_origin AS agreed ON agreed.origin = k1
        WHERE agreed.epoch IS DISTINCT FROM looked.epoch AND agreed.resumed_at IS NULL
    """,
)

SILO_OPEN = SqlCheck(
    "silo_open",
    "The silo is not closed after a restore.",
    When.ALWAYS,
    table="silo_identity",
    key=("name",),
    columns="restored_at",
    wrong="SELECT k1, format('closed since %s', restored_at) AS says FROM looked WHERE restored_at IS NOT NULL",
)

SHARED_CHECKS: tuple[Check, ...] = (
    DEAD_LEASES,
    INBOX_EPOCHS,
    OUTBOX_CONTIGUOUS,
    OUT_OF_STEP,
    PARKED_SHARDS,
    PARKED_SUBJECTS,
    SILO_OPEN,
)


@dataclass(frozen=True)
class IdMarks:
    """I10: the marks stand behind every id in the silo's tables that carries its number. `columns`: table -> column."""

    columns: Mapping[str, str]
    id: str = "id_marks"
    says: str = "No id in the tables is one that this silo has still to give out (I10)."
    when: When = When.ALWAYS
    key_types: tuple[type, ...] = (int, int)
    is_repairable: bool = True

    def look(self, transaction: Transaction, *, after: Key | None, rows_max: int, older_than: datetime) -> Looked:
        """The highest ids come from the ends of the primary keys' indexes."""
        del rows_max, older_than
        if after is not None:
            return Looked((), 0, None)
        places = self._behind(transaction)
        found = tuple(
            Found((place.layout, place.number), f"an id at {place.position}, ids go on at {mark}")
            for place, mark in places
        )
        return Looked(found, len(self.columns), (0, 0))

    def is_found(self, transaction: Transaction, key: Key, *, older_than: datetime) -> bool:
        """See domain.Check."""
        del older_than
        return any((place.layout, place.number) == key for place, _ in self._behind(transaction))

    def repair(self, transaction: Transaction, key: Key) -> bool:
        """Raise the mark."""
        for place, _ in self._behind(transaction):
            if (place.layout, place.number) == key:
                store.raise_mark(transaction, IdPlace(place.layout, place.number, place.position + 1))
        return True

    def _behind(self, transaction: Transaction) -> list[tuple[IdPlace, int]]:
        marks = {(mark.layout, mark.number): mark.position for mark in store.read_marks(transaction)}
        return [
            (place, marks[place.layout, place.number])
            for place in store.highest_ids(transaction, self.columns)
            if marks.get((place.layout, place.number), place.position + 1) <= place.position
        ]
