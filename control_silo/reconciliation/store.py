"""SQL of leases, progress and differences. At most DIFFERENCES_MAX subjects of a region and kind are open at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Row, text

from control_silo.reconciliation.domain import (
    Difference,
    Judgement,
    Nature,
    Reconciliation,
    Repair,
    State,
)
from shared.comparing.domain import Kind
from shared.database import Transaction

_BEGIN = text(
    """
    INSERT INTO reconciliation (region, kind, started_at, position) VALUES (:region, :kind, :now, 0)
    ON CONFLICT ON CONSTRAINT reconciliation_pkey DO UPDATE SET started_at = excluded.started_at, position = 0
    """
)

_ADVANCE = text("UPDATE reconciliation SET position = :position WHERE region = :region AND kind = :kind")

_FINISH = text(
    """
    UPDATE reconciliation SET position = 0, finished_at = :now, row_count = :row_count, duration_ms = :duration_ms,
        equal_up_to = coalesce(CAST(:equal_up_to AS timestamptz), equal_up_to)
    WHERE region = :region AND kind = :kind
    """
)

_SEE = text(
    """
    INSERT INTO reconciliation_difference
        (region, kind, subject, nature, state, repair, control_has, region_has, first_seen_at, last_seen_at)
    SELECT :region, :kind, seen.subject, seen.nature, seen.state, seen.repair, seen.control_has, seen.region_has, :now,
        :now
    FROM json_to_recordset(CAST(:seen AS json))
        AS seen (subject text, nature text, state text, repair text, control_has text, region_has text)
    ON CONFLICT (region, kind, subject) WHERE resolved_at IS NULL DO UPDATE
        SET nature = excluded.nature, repair = excluded.repair, control_has = excluded.control_has,
            region_has = excluded.region_has, last_seen_at = excluded.last_seen_at,
            state = CASE WHEN reconciliation_difference.first_seen_at <= :pending_before THEN 'different'
                ELSE excluded.state END
    """
)

_RESOLVE = text(
    """
    UPDATE reconciliation_difference SET state = 'resolved', resolved_at = :now
    WHERE region = :region AND kind = :kind AND resolved_at IS NULL AND subject = ANY (CAST(:subjects AS text[]))
    """
)

_COLUMNS = """id, region, kind, subject, nature, state, repair, control_has, region_has, first_seen_at, last_seen_at,
    resolved_at, repair_requested_at, repaired_at, repair_count"""

_OPEN = text(
    f"""
    SELECT {_COLUMNS} FROM reconciliation_difference
    WHERE region = :region AND kind = :kind AND resolved_at IS NULL ORDER BY id
    """
)

_LOCK = text(
    f"""
    SELECT {_COLUMNS} FROM reconciliation_difference WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
    """
)

_REQUEST = text(
    """
    UPDATE reconciliation_difference SET repair_requested_at = coalesce(repair_requested_at, :now)
    WHERE id = ANY (CAST(:ids AS bigint[]))
    """
)

_REPAIRED = text(
    """
    UPDATE reconciliation_difference
    SET repaired_at = :now, repair_count = repair_count + 1, repair_requested_at = NULL WHERE id = :id
    """
)

_NOT_REPAIRED = text(
    """
    UPDATE reconciliation_difference
    SET repaired_at = :repaired_at, repair_count = :repair_count, repair_requested_at = :requested_at WHERE id = :id
    """
)

_LIST = f"SELECT {_COLUMNS} FROM reconciliation_difference WHERE id > :after_id"

_STATES = """
    SELECT known.region, known.kind, known.equal_up_to, known.started_at, known.finished_at, known.position,
        known.row_count, known.duration_ms, coalesce(lease.last_error, '') AS last_error,
        count(found.id) FILTER (WHERE found.state = 'different') AS differences,
        count(found.id) FILTER (WHERE found.state = 'pending') AS pending
    FROM reconciliation AS known
    LEFT JOIN reconciliation_lease AS lease ON lease.region = known.region
    LEFT JOIN reconciliation_difference AS found
        ON found.region = known.region AND found.kind = known.kind AND found.resolved_at IS NULL
    {where}
    GROUP BY known.region, known.kind, lease.region ORDER BY known.region, known.kind
"""
_STATES_ALL = text(_STATES.format(where=""))
_STATES_OF = text(_STATES.format(where="WHERE known.region = :region"))

_CLEAN = text(
    """
    DELETE FROM reconciliation_difference WHERE id IN (
        SELECT id FROM reconciliation_difference WHERE resolved_at < :older_than
        ORDER BY resolved_at LIMIT :rows_max FOR UPDATE SKIP LOCKED
    )
    """
)
_OLDEST = text("SELECT min(resolved_at) FROM reconciliation_difference WHERE resolved_at IS NOT NULL")


@dataclass(frozen=True)
class Query:
    """Which differences to list; None and "" leave a field open."""

    region: str = ""
    kind: Kind | None = None
    show_pending: bool = False
    show_resolved: bool = False


def begin(transaction: Transaction, region: str, kind: Kind) -> None:
    """A comparison starts now."""
    transaction.execute(_BEGIN, {"region": region, "kind": kind.value, "now": transaction.now})


def advance(transaction: Transaction, region: str, kind: Kind, position: int) -> None:
    """The running comparison has come to that key."""
    transaction.execute(_ADVANCE, {"region": region, "kind": kind.value, "position": position})


def finish(
    transaction: Transaction, region: str, kind: Kind, *, equal_up_to: datetime | None, row_count: int, duration_ms: int
) -> None:
    """The comparison has ended; without `equal_up_to` that stays as it is."""
    parameters = {
        "region": region,
        "kind": kind.value,
        "equal_up_to": equal_up_to,
        "row_count": row_count,
        "duration_ms": duration_ms,
        "now": transaction.now,
    }
    transaction.execute(_FINISH, parameters)


def see(
    transaction: Transaction,
    region: str,
    kind: Kind,
    seen: Mapping[str, tuple[State, Judgement]],
    *,
    pending_before: datetime,
) -> None:
    """Write what was seen of these subjects; one first seen before `pending_before` is different in any case."""
    rows = [
        {
            "subject": subject,
            "nature": judgement.nature.value,
            "state": state.value,
            "repair": judgement.repair.value,
            "control_has": judgement.control_has,
            "region_has": judgement.region_has,
        }
        for subject, (state, judgement) in sorted(seen.items())
    ]
    parameters = {"region": region, "kind": kind.value, "now": transaction.now, "pending_before": pending_before}
    transaction.execute(_SEE, {**parameters, "seen": msgspec.json.encode(rows).decode()})


def resolve(transaction: Transaction, region: str, kind: Kind, subjects: Sequence[str]) -> int:
    """These subjects are equal; returns how many of them had been seen to differ."""
    parameters = {"region": region, "kind": kind.value, "subjects": list(subjects), "now": transaction.now}
    return transaction.execute(_RESOLVE, parameters).rowcount


def list_open(transaction: Transaction, region: str, kind: Kind) -> list[Difference]:
    """What is open of one region and kind, the oldest first."""
    return [_difference(row) for row in transaction.execute(_OPEN, {"region": region, "kind": kind.value})]


def lock(transaction: Transaction, ids: Sequence[int]) -> list[Difference]:
    """Lock the differences with these ids that exist, by id."""
    return [_difference(row) for row in transaction.execute(_LOCK, {"ids": sorted(ids)})]


def request_repairs(transaction: Transaction, ids: Sequence[int]) -> None:
    """Note that somebody waits for these repairs."""
    transaction.execute(_REQUEST, {"ids": list(ids), "now": transaction.now})


def note_repair(transaction: Transaction, difference_id: int) -> None:
    """A repair was sent."""
    transaction.execute(_REPAIRED, {"id": difference_id, "now": transaction.now})


def take_back_repair(transaction: Transaction, difference: Difference) -> None:
    """A repair could not be sent after all: it is due again as it was."""
    parameters = {
        "id": difference.id,
        "repaired_at": difference.repaired_at,
        "repair_count": difference.repair_count,
        "requested_at": difference.repair_requested_at,
    }
    transaction.execute(_NOT_REPAIRED, parameters)


def list_page(transaction: Transaction, query: Query, *, after_id: int, limit: int) -> list[Difference]:
    """Up to `limit` differences above `after_id`, by id."""
    conditions = []
    if query.region:
        conditions.append("region = :region")
    if query.kind is not None:
        conditions.append("kind = :kind")
    if not query.show_pending:
        conditions.append("state <> 'pending'")
    if not query.show_resolved:
        conditions.append("resolved_at IS NULL")
    statement = " AND ".join([_LIST, *conditions])
    parameters = {"after_id": after_id, "limit": limit}
    if query.region:
        parameters |= {"region": query.region}  # type: ignore[dict-item]  # bound by name, of any type
    if query.kind is not None:
        parameters |= {"kind": query.kind.value}  # type: ignore[dict-item]  # as above
    rows = transaction.execute(text(f"{statement} ORDER BY id LIMIT :limit"), parameters)
    return [_difference(row) for row in rows]


def list_states(transaction: Transaction, region: str = "") -> list[Reconciliation]:
    """How far each kind of each region, or of one region, has come."""
    found = transaction.execute(_STATES_OF, {"region": region}) if region else transaction.execute(_STATES_ALL)
    return [
        Reconciliation(
            region=row.region,
            kind=Kind(row.kind),
            equal_up_to=row.equal_up_to,
            started_at=row.started_at,
            finished_at=row.finished_at,
            position=row.position,
            row_count=row.row_count,
            duration_ms=row.duration_ms,
            differences=row.differences,
            pending=row.pending,
            last_error=row.last_error,
        )
        for row in found
    ]


def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    """Delete up to `rows_max` differences that were resolved before `older_than`."""
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": rows_max}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest difference that is kept was resolved."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found


def _difference(row: Row[tuple[object, ...]]) -> Difference:
    return Difference(
        id=row.id,
        region=row.region,
        kind=Kind(row.kind),
        subject=row.subject,
        nature=Nature(row.nature),
        state=State(row.state),
        repair=Repair(row.repair),
        control_has=row.control_has,
        region_has=row.region_has,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        resolved_at=row.resolved_at,
        repair_requested_at=row.repair_requested_at,
        repaired_at=row.repaired_at,
        repair_count=row.repair_count,
    )
