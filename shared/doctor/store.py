"""The SQL of the doctor: marks of ids, lives of databases, and forgetting what was received of a peer."""

from collections.abc import Mapping

from sqlalchemy import text

from shared.database import Transaction
from shared.doctor.domain import IdPlace, Peer
from shared.snowflake.domain import LAYOUTS, NotASnowflakeError, describe

_STATEMENT_TIMEOUT_MS = 10_000
_WAITING_MAX = 10_000

_BOUND = text(
    "SELECT set_config('work_mem', '4MB', true), set_config('statement_timeout', :timeout_ms, true),"
    " set_config('jit', 'off', true)"
)
_MARKS = text("SELECT layout, number, next_position FROM snowflake_mark ORDER BY layout, number")
_RAISE_MARK = text(
    """
    INSERT INTO snowflake_mark AS mark (layout, number, leased_from, next_position, updated_at)
    VALUES (:layout, :number, :below, :position, :now)
    ON CONFLICT ON CONSTRAINT snowflake_mark_pkey DO UPDATE
        SET leased_from = excluded.leased_from, next_position = excluded.next_position, updated_at = :now
        WHERE mark.next_position < excluded.next_position
    """
)
_PEERS = text("SELECT origin, epoch, agreed_at FROM inbox_origin ORDER BY origin")
_WAITING = text("SELECT count(*) FROM (SELECT FROM outbox_message LIMIT :rows_max) AS counted")
_AGREE = text(
    """
    INSERT INTO inbox_origin (origin, epoch, agreed_at, resumed_at) VALUES (:peer, CAST(:epoch AS uuid), :now, :now)
    ON CONFLICT ON CONSTRAINT inbox_origin_pkey
        DO UPDATE SET epoch = excluded.epoch, agreed_at = excluded.agreed_at, resumed_at = excluded.resumed_at
    """
)
_FORGET = (
    text("DELETE FROM inbox_shard WHERE origin = :peer"),
    text("DELETE FROM inbox_subject WHERE origin = :peer"),
)
_MAKE_DUE = text("UPDATE outbox_lease SET attempts = 0, available_at = :now WHERE target = :peer AND parked_at IS NULL")


def bound(transaction: Transaction) -> None:
    """Keep the transaction's statements short and small."""
    transaction.execute(_BOUND, {"timeout_ms": str(_STATEMENT_TIMEOUT_MS)})


def read_marks(transaction: Transaction) -> list[IdPlace]:
    """Where ids go on, by layout and number."""
    return [IdPlace(row.layout, row.number, row.next_position) for row in transaction.execute(_MARKS)]


def raise_mark(transaction: Transaction, place: IdPlace) -> None:
    """Let ids go on at `place` or behind it."""
    parameters = {
        "layout": place.layout,
        "number": place.number,
        "below": max(0, place.position - 1),
        "position": max(1, place.position),
        "now": transaction.now,
    }
    transaction.execute(_RAISE_MARK, parameters)


def highest_ids(transaction: Transaction, columns: Mapping[str, str]) -> list[IdPlace]:
    """The highest id of each layout and number in these tables.

    A layout's ids are one range and a number's are not, so the ends of the ranges of seconds are looked at: the highest
    ids of each layout, a few hundred of them. An id further back was given out earlier.
    """
    highest: dict[tuple[int, int], int] = {}
    for table, column in columns.items():
        for layout in LAYOUTS.values():
            low = layout.prefix << (53 - layout.prefix_bits)
            high = (layout.prefix + 1) << (53 - layout.prefix_bits)
            statement = text(
                f"SELECT {column} AS id FROM {table} WHERE {column} >= :low AND {column} < :high"
                f" ORDER BY {column} DESC LIMIT 200"
            )
            for row in transaction.execute(statement, {"low": low, "high": high}):
                _raise(highest, row.id)
    return [IdPlace(layout, number, position) for (layout, number), position in sorted(highest.items())]


def read_peers(transaction: Transaction) -> list[Peer]:
    """The silos that were heard of, by name."""
    return [Peer(row.origin, str(row.epoch), row.agreed_at) for row in transaction.execute(_PEERS)]


def count_waiting(transaction: Transaction) -> int:
    """How many messages wait, up to 10,000."""
    found: int = transaction.execute(_WAITING, {"rows_max": _WAITING_MAX}).scalar_one()
    return found


def agree(transaction: Transaction, peer: str, epoch: str) -> None:
    """Accept that epoch of the peer, forget what was received of it, and let what waits for it go now."""
    parameters = {"peer": peer, "epoch": epoch, "now": transaction.now}
    transaction.execute(_AGREE, parameters)
    for statement in _FORGET:
        transaction.execute(statement, parameters)
    transaction.execute(_MAKE_DUE, parameters)


def _raise(highest: dict[tuple[int, int], int], snowflake: int) -> None:
    try:
        parts = describe(snowflake)
    except NotASnowflakeError:
        return
    position = parts.seconds * LAYOUTS[parts.layout].per_second + parts.sequence
    key = (parts.layout, parts.region)
    highest[key] = max(highest.get(key, 0), position)
