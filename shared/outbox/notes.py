"""Writes a transaction's noted messages as its last step before COMMIT.

Shard rows are locked here, sorted by (target, aggregate), and held until COMMIT: so a shard's sequences are taken in
commit order without a gap, two transactions cannot deadlock on shards, and no shard stays locked while work runs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import text

from shared import errors
from shared.outbox.domain import OutboxNote
from shared.statements import Statement
from shared.transaction import Transaction

_COPY_FROM_ROWS = 500
PAYLOAD_BYTES_MAX = 2 << 20

_TAKE_SEQUENCES = text(
    """
    INSERT INTO outbox_shard (target, aggregate, last_sequence)
    SELECT target, aggregate, taken
    FROM unnest(CAST(:targets AS text[]), CAST(:aggregates AS text[]), CAST(:counts AS bigint[]))
        WITH ORDINALITY AS noted (target, aggregate, taken, place)
    ORDER BY place
    ON CONFLICT ON CONSTRAINT outbox_shard_pkey
        DO UPDATE SET last_sequence = outbox_shard.last_sequence + excluded.last_sequence
    RETURNING target, aggregate, last_sequence
    """
)

# A message's sequence is its shard's last one less how many of the shard come behind it here.
_WRITE_MESSAGES = Statement(
    """
    WITH taken AS (
        INSERT INTO outbox_shard (target, aggregate, last_sequence)
        SELECT target, aggregate, taken
        FROM unnest(CAST(:targets AS text[]), CAST(:aggregates AS text[]), CAST(:counts AS bigint[]))
            WITH ORDINALITY AS shard (target, aggregate, taken, place)
        ORDER BY place
        ON CONFLICT ON CONSTRAINT outbox_shard_pkey
            DO UPDATE SET last_sequence = outbox_shard.last_sequence + excluded.last_sequence
        RETURNING target, aggregate, last_sequence
    )
    INSERT INTO outbox_message (target, aggregate, sequence, category, subject, payload, created_at)
    SELECT target, aggregate, last_sequence - behind, category, subject, CAST(payload AS jsonb),
        CAST(:now AS timestamptz)
    FROM unnest(
        CAST(:message_targets AS text[]), CAST(:message_aggregates AS text[]), CAST(:behind AS bigint[]),
        CAST(:categories AS text[]), CAST(:subjects AS text[]), CAST(:payloads AS text[])
    ) WITH ORDINALITY AS noted (target, aggregate, behind, category, subject, payload, place)
    JOIN taken USING (target, aggregate)
    ORDER BY place
    """
)

_COPY_MESSAGES = "COPY outbox_message (target, aggregate, sequence, category, subject, payload, created_at) FROM STDIN"


def write_notes(transaction: Transaction, notes: Sequence[OutboxNote]) -> None:
    """Give each message its shard's next sequence, in the order of the notes, and write them; few go with COMMIT.

    Raises LimitExceeded when a payload has more than 2 MiB as JSON: it must fit into one delivery.
    """
    counts = Counter((note.target, note.aggregate) for note in notes)
    shards = sorted(counts)
    asked = {
        "targets": [target for target, _ in shards],
        "aggregates": [aggregate for _, aggregate in shards],
        "counts": [counts[shard] for shard in shards],
    }
    if len(notes) > _COPY_FROM_ROWS:
        _copy(transaction, notes, counts, asked)
        return
    behind = []
    for note in notes:
        counts[note.target, note.aggregate] -= 1
        behind.append(counts[note.target, note.aggregate])
    messages = {
        "message_targets": [note.target for note in notes],
        "message_aggregates": [note.aggregate for note in notes],
        "behind": behind,
        "categories": [note.category for note in notes],
        "subjects": [note.subject for note in notes],
        "payloads": [_encode(note) for note in notes],
        "now": transaction.now,
    }
    transaction.later(_WRITE_MESSAGES, {**asked, **messages})


def _encode(note: OutboxNote) -> str | None:
    if note.payload is None:
        return None
    encoded = msgspec.json.encode(note.payload)
    if len(encoded) > PAYLOAD_BYTES_MAX:
        raise errors.LimitExceeded(f"a message of {note.category} has {len(encoded)} bytes")
    return encoded.decode()


def _copy(
    transaction: Transaction,
    notes: Sequence[OutboxNote],
    counts: Mapping[tuple[str, str], int],
    asked: Mapping[str, object],
) -> None:
    taken = transaction.execute(_TAKE_SEQUENCES, asked)
    following = {(row.target, row.aggregate): row.last_sequence - counts[row.target, row.aggregate] for row in taken}
    with transaction.driver.cursor() as cursor, cursor.copy(_COPY_MESSAGES) as copy:
        for note in notes:
            shard = (note.target, note.aggregate)
            following[shard] += 1
            copy.write_row((*shard, following[shard], note.category, note.subject, _encode(note), transaction.now))
