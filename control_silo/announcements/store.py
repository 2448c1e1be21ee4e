"""SQL on announcements. Mappings and counters are locked in the order of organizations."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text

from control_silo.announcements.domain import Announcement, Item, Kind
from shared.database import Transaction

_HOLD_MAPPINGS = text(
    """
    SELECT organization_id, region FROM organization_mapping
    WHERE organization_id = ANY (CAST(:ids AS bigint[])) ORDER BY organization_id FOR SHARE
    """
)
_HOLD_COUNTERS = text(
    """
    INSERT INTO announcement_counter AS counter (organization_id, value)
    SELECT id, 0 FROM unnest(CAST(:ids AS bigint[])) AS given (id) ORDER BY id
    ON CONFLICT ON CONSTRAINT announcement_counter_pkey DO UPDATE SET value = counter.value
    """
)
# Who holds the counter sees all that was kept of the organization, so nothing is kept twice and no number is lost.
_KEEP = text(
    """
    WITH fresh AS (
        SELECT DISTINCT ON (told.key) told.organization_id, told.key, told.payload, told.place
        FROM ROWS FROM (
            json_to_recordset(CAST(:rows AS json)) AS (organization_id bigint, key text, payload jsonb)
        ) WITH ORDINALITY AS told (organization_id, key, payload, place)
        WHERE NOT EXISTS (
            SELECT FROM announcement known
            WHERE known.region = :region AND known.kind = :kind AND known.key = told.key
        )
        ORDER BY told.key, told.place
    ), counted AS (
        UPDATE announcement_counter counter SET value = counter.value + added.count
        FROM (SELECT organization_id, count(*) AS count FROM fresh GROUP BY organization_id) added
        WHERE counter.organization_id = added.organization_id
        RETURNING counter.organization_id, counter.value - added.count AS before
    )
    INSERT INTO announcement (organization_id, number, region, kind, key, payload, received_at)
    SELECT fresh.organization_id,
        counted.before + row_number() OVER (PARTITION BY fresh.organization_id ORDER BY fresh.place),
        :region, :kind, fresh.key, fresh.payload, :now
    FROM fresh JOIN counted USING (organization_id)
    """
)
_LIST = text(
    """
    SELECT organization_id, number, kind, region, key, CAST(payload AS text) AS payload, received_at FROM announcement
    WHERE organization_id = :organization_id AND number > :after
        AND (CAST(:kind AS text) IS NULL OR kind = :kind)
    ORDER BY number LIMIT :rows_max
    """
)
_CLEAN = text(
    """
    DELETE FROM announcement WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM announcement WHERE received_at < :older_than
        ORDER BY received_at LIMIT :rows_max FOR UPDATE SKIP LOCKED
    ))
    """
)
_OLDEST = text("SELECT min(received_at) FROM announcement")


def hold_mappings(transaction: Transaction, organization_ids: Collection[int]) -> dict[int, str]:
    """The regions of those that are mapped; the mappings stay until the transaction ends."""
    rows = transaction.execute(_HOLD_MAPPINGS, {"ids": sorted(organization_ids)})
    return {row.organization_id: row.region for row in rows}


def keep(transaction: Transaction, region: str, kind: Kind, items: Sequence[Item]) -> int:
    """Write those that are not kept yet, with the next numbers of their organizations; returns how many."""
    transaction.execute(_HOLD_COUNTERS, {"ids": sorted({item.organization_id for item in items})})
    rows = [{"organization_id": item.organization_id, "key": item.key, "payload": dict(item.payload)} for item in items]
    values = {
        "rows": msgspec.json.encode(rows).decode(),
        "region": region,
        "kind": kind.value,
        "now": transaction.now,
    }
    return transaction.execute(_KEEP, values).rowcount


def list_page(
    transaction: Transaction, organization_id: int, *, after: int, kind: Kind | None, limit: int
) -> list[Announcement]:
    """Up to `limit` announcements of the organization by number, above `after`."""
    values = {
        "organization_id": organization_id,
        "after": after,
        "kind": None if kind is None else kind.value,
        "rows_max": limit,
    }
    return [
        Announcement(
            organization_id=row.organization_id,
            number=row.number,
            kind=Kind(row.kind),
            region=row.region,
            key=row.key,
            payload_json=row.payload,
            received_at=row.received_at,
        )
        for row in transaction.execute(_LIST, values)
    ]


def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    """Delete up to `rows_max` announcements that came before `older_than`."""
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": rows_max}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest announcement that is kept came."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found
