"""The one row of each layout and number that says which positions are given out.

A position below `next_position` belongs to somebody or is lost; the column only ever rises, whatever the clock does.
One UPDATE moves it, so two processes can never get the same position, and a lease whose COMMIT is in doubt is simply
lost.
"""

from dataclasses import dataclass

from sqlalchemy import text

from shared.database import Transaction

_ADVANCE = text(
    """
    UPDATE snowflake_mark
       SET leased_from = GREATEST(next_position, :floor),
           next_position = LEAST(GREATEST(next_position, :floor) + :wanted, :ceiling),
           updated_at = :now
     WHERE layout = :layout AND number = :number AND GREATEST(next_position, :floor) + :needed <= :ceiling
    RETURNING leased_from, next_position
    """
)
_LOOK = text("SELECT next_position FROM snowflake_mark WHERE layout = :layout AND number = :number")
_BEGIN = text(
    """
    INSERT INTO snowflake_mark (layout, number, leased_from, next_position, updated_at)
    VALUES (:layout, :number, :floor, LEAST(:floor + :wanted, :ceiling), :now)
    ON CONFLICT ON CONSTRAINT snowflake_mark_pkey DO NOTHING
    RETURNING leased_from, next_position
    """
)


@dataclass(frozen=True)
class LeaseWish:
    """Positions from `floor` on, `wanted` of them or at least `needed`, all below `ceiling`."""

    layout: int
    number: int
    floor: int
    ceiling: int
    needed: int
    wanted: int


@dataclass(frozen=True)
class Lease:
    """The positions from `start` up to, not including, `end`: nobody else has them or will."""

    start: int
    end: int


@dataclass(frozen=True)
class Full:
    """Not enough positions are left below the ceiling; `mark` is the first that nobody has."""

    mark: int


def lease(transaction: Transaction, wish: LeaseWish) -> Lease | Full:
    """Take positions for the caller alone, or say up to where all are taken. The caller's commit makes it so."""
    values = {
        "layout": wish.layout,
        "number": wish.number,
        "floor": wish.floor,
        "ceiling": wish.ceiling,
        "needed": wish.needed,
        "wanted": wish.wanted,
        "now": transaction.now,
    }
    leased = transaction.execute(_ADVANCE, values).one_or_none()
    if leased is not None:
        return Lease(leased.leased_from, leased.next_position)
    mark = transaction.execute(_LOOK, values).scalar_one_or_none()
    if mark is not None and max(mark, wish.floor) + wish.needed > wish.ceiling:
        return Full(mark)
    leased = transaction.execute(_BEGIN, values).one_or_none() if mark is None else None
    if leased is not None:
        return Lease(leased.leased_from, leased.next_position)
    return lease(transaction, wish)  # another process wrote the first row meanwhile; it stays for ever, so this ends
