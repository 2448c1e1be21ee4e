"""The SQL of the audit. Entries are only ever added and, at the end of their retention, deleted."""

from datetime import datetime

import msgspec
from sqlalchemy import select, text

from shared.audit.domain import AuditEntry, AuditQuery
from shared.database import Transaction
from shared.schema import audit_entry

_ADD = text(
    """
    INSERT INTO audit_entry (at, principal, action, organization_id, target, request_id, detail)
    VALUES (:at, :principal, :action, :organization_id, :target, :request_id, CAST(:detail AS jsonb))
    """
)

_CLEAN = text(
    """
    DELETE FROM audit_entry WHERE id IN (
        SELECT id FROM audit_entry WHERE at < :older_than ORDER BY at LIMIT :rows_max FOR UPDATE SKIP LOCKED
    )
    """
)

_OLDEST = text("SELECT min(at) FROM audit_entry")


def add(
    transaction: Transaction,
    *,
    principal: str,
    action: str,
    organization_id: int | None,
    target: str,
    request_id: str,
    detail: dict[str, object],
) -> None:
    """Write an entry with the transaction's time."""
    transaction.execute(
        _ADD,
        {
            "at": transaction.now,
            "principal": principal,
            "action": action,
            "organization_id": organization_id,
            "target": target,
            "request_id": request_id,
            "detail": msgspec.json.encode(detail).decode(),
        },
    )


def list_page(transaction: Transaction, query: AuditQuery, *, before_id: int | None, limit: int) -> list[AuditEntry]:
    """Up to `limit` entries, the newest first, below `before_id`."""
    columns = audit_entry.c
    statement = select(audit_entry).order_by(columns.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(columns.id < before_id)
    if query.organization_id is not None:
        statement = statement.where(columns.organization_id == query.organization_id)
    if query.principal:
        statement = statement.where(columns.principal == query.principal)
    if query.action:
        statement = statement.where(columns.action == query.action)
    if query.since is not None:
        statement = statement.where(columns.at >= query.since)
    if query.until is not None:
        statement = statement.where(columns.at < query.until)
    return [
        AuditEntry(
            row.id, row.at, row.principal, row.action, row.organization_id, row.target, row.request_id, row.detail
        )
        for row in transaction.execute(statement)
    ]


def clean(transaction: Transaction, older_than: datetime, limit: int = 1000) -> int:
    """Delete up to `limit` entries from before `older_than`, the oldest first; returns how many."""
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": limit}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest entry was written."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found
