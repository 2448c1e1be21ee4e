"""Writes a transaction's noted messages as its last step before COMMIT.

Shard rows are locked here, sorted by (target, aggregate), and held until COMMIT: so a shard's sequences are taken in
commit order without a gap, two transactions cannot deadlock on shards, and no shard stays locked while work runs.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
import psycopg
from sqlalchemy import Connection, text

from shared import errors
from shared.outbox.domain import OutboxNote

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

_INSERT_MESSAGES = text(
    """
    INSERT INTO outbox_message (target, aggregate, sequence, category, subject, payload, created_at)
    SELECT target, aggregate, sequence, category, subject, CAST(payload AS jsonb), :now
    FROM unnest(
        CAST(:targets AS text[]), CAST(:aggregates AS text[]), CAST(:sequences AS bigint[]),
        CAST(:categories AS text[]), CAST(:subjects AS text[]), CAST(:payloads AS text[])
    ) AS noted (target, aggregate, sequence, category, subject, payload)
    """
)

_COPY_MESSAGES = "COPY outbox_message (target, aggregate, sequence, category, subject, payload, created_at) FROM STDIN"


def write_notes(connection: Connection, notes: Sequence[OutboxNote], now: datetime) -> None:
    """Give each message its shard's next sequence, in the order of the notes, and write them.

    Raises LimitExceeded when a payload has more than 2 MiB as JSON: it must fit into one delivery.
    """
    counts = Counter((note.target, note.aggregate) for note in notes)
    shards = sorted(counts)
    taken = connection.execute(
        _TAKE_SEQUENCES,
        {
            "targets": [target for target, _ in shards],
            "aggregates": [aggregate for _, aggregate in shards],
            "counts": [counts[shard] for shard in shards],
        },
    )
    following = {(row.target, row.aggregate): row.last_sequence - counts[row.target, row.aggregate] for row in taken}
    rows: list[tuple[str, str, int, str, str, str | None, datetime]] = []
    for note in notes:
        shard = (note.target, note.aggregate)
        following[shard] += 1
        rows.append((*shard, following[shard], note.category, note.subject, _encode(note), now))
    if len(rows) > _COPY_FROM_ROWS:
        _copy(connection, rows)
    else:
        names = ("targets", "aggregates", "sequences", "categories", "subjects", "payloads")
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        connection.execute(_INSERT_MESSAGES, {**columns, "now": now})


def _encode(note: OutboxNote) -> str | None:
    if note.payload is None:
        return None
    encoded = msgspec.json.encode(note.payload)
    if len(encoded) > PAYLOAD_BYTES_MAX:
        raise errors.LimitExceeded(f"a message of {note.category} has {len(encoded)} bytes")
    return encoded.decode()


def _copy(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    driver = cast("psycopg.Connection[tuple[Any, ...]]", connection.connection.driver_connection)
    with driver.cursor() as cursor, cursor.copy(_COPY_MESSAGES) as copy:
        for row in rows:
            copy.write_row(row)
