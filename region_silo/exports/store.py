"""SQL of exports in the region: the export's row with its lease.

A builder proves that it holds the lease by changing the export's row under its token; whoever cancels takes the token
away.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Integer, SmallInteger, Table, Text, and_, func, or_
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import select as sql_select
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import JSONB, UUID

from region_silo.exports.domain import OPEN, DataExport, Event, FileDigest, ModelRows, Scope, State, change
from region_silo.schema import METADATA
from shared.database import Transaction
from shared.requests.domain import StoredError

DATA_EXPORT = Table(
    "data_export",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger),
    Column("principal", Text),
    Column("scope", SmallInteger),
    Column("state", SmallInteger),
    Column("usernames", ARRAY(Text)),
    Column("organization_slugs", ARRAY(Text)),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("object_count", BigInteger),
    Column("models", JSONB),
    Column("file_token", UUID(as_uuid=False)),
    Column("error", JSONB(none_as_null=True)),
    Column("lease_token", UUID(as_uuid=False)),
    Column("lease_until", DateTime(timezone=True)),
    Column("attempts", Integer),
    Column("peer_failures", Integer),
    Column("available_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True)),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
)

_LEASE_SKEW = timedelta(seconds=5)


class LeaseLostError(Exception):
    """The export was cancelled, or another process works on it now; this one has to stop."""


@dataclass(frozen=True)
class Lease:
    """The right to build one export, until it runs out or is given back."""

    export_id: int
    token: str


@dataclass(frozen=True)
class NewExport:
    """What is asked for."""

    id: int
    organization_id: int | None
    principal: str
    scope: Scope
    usernames: tuple[str, ...] | None
    organization_slugs: tuple[str, ...] | None


def insert(transaction: Transaction, new: NewExport) -> None:
    """Queue an export."""
    values = {
        "id": new.id,
        "organization_id": new.organization_id,
        "principal": new.principal,
        "scope": new.scope,
        "state": State.QUEUED,
        "usernames": None if new.usernames is None else list(new.usernames),
        "organization_slugs": None if new.organization_slugs is None else list(new.organization_slugs),
        "size_bytes": 0,
        "sha256": "",
        "object_count": 0,
        "models": [],
        "attempts": 0,
        "peer_failures": 0,
        "available_at": transaction.now,
        "created_at": transaction.now,
        "updated_at": transaction.now,
    }
    transaction.execute(sql_insert(DATA_EXPORT), values)


def open_of(transaction: Transaction, principal: str) -> int:
    """How many exports of a principal have not ended."""
    query = sql_select(func.count()).where(DATA_EXPORT.c.principal == principal, DATA_EXPORT.c.state.in_(OPEN))
    return int(transaction.execute(query).scalar_one())


def find(transaction: Transaction, export_id: int, *, locking: bool = False) -> DataExport | None:
    """One export."""
    query = sql_select(DATA_EXPORT).where(DATA_EXPORT.c.id == export_id)
    row = transaction.execute(query.with_for_update() if locking else query).one_or_none()
    return None if row is None else _data_export(row)


def page(
    transaction: Transaction,
    principal: str | None,
    organization_id: int | None,
    before_id: int | None,
    rows_max: int,
) -> list[DataExport]:
    """Exports of a principal (None: of all), of an organization (None: of any), newest first, ids below `before_id`."""
    query = sql_select(DATA_EXPORT)
    if principal is not None:
        query = query.where(DATA_EXPORT.c.principal == principal)
    if organization_id is not None:
        query = query.where(DATA_EXPORT.c.organization_id == organization_id)
    if before_id is not None:
        query = query.where(DATA_EXPORT.c.id < before_id)
    return [_data_export(row) for row in transaction.execute(query.order_by(DATA_EXPORT.c.id.desc()).limit(rows_max))]


def owners_of_files(transaction: Transaction, export_ids: Iterable[int]) -> dict[int, tuple[DataExport, str | None]]:
    """Those exports that exist, each with the token of the lease on it."""
    rows = transaction.execute(sql_select(DATA_EXPORT).where(DATA_EXPORT.c.id.in_(list(export_ids))))
    return {row.id: (_data_export(row), row.lease_token) for row in rows}


def lease_next(transaction: Transaction, lease_s: float) -> tuple[Lease, DataExport] | None:
    """Take the export that has waited longest and that nobody works on; None when there is none."""
    now = transaction.now
    free = or_(DATA_EXPORT.c.lease_until.is_(None), DATA_EXPORT.c.lease_until < now - _LEASE_SKEW)
    found = transaction.execute(
        sql_select(DATA_EXPORT.c.id, DATA_EXPORT.c.state)
        .where(DATA_EXPORT.c.state.in_(OPEN), DATA_EXPORT.c.available_at <= now, free)
        .order_by(DATA_EXPORT.c.available_at, DATA_EXPORT.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    lease = Lease(found.id, str(uuid.uuid4()))
    row = transaction.execute(
        sql_update(DATA_EXPORT)
        .where(DATA_EXPORT.c.id == lease.export_id)
        .values(
            state=change(State(found.state), Event.LEASED),
            lease_token=lease.token,
            lease_until=now + timedelta(seconds=lease_s),
            started_at=func.coalesce(DATA_EXPORT.c.started_at, now),
            object_count=0,  # a build that was cut short begins again
            models=[],
            updated_at=now,
        )
        .returning(*DATA_EXPORT.c)
    ).one()
    return lease, _data_export(row)


def renew(transaction: Transaction, lease: Lease, lease_s: float, models: Sequence[ModelRows]) -> None:
    """Hold on to the export for a while longer, and tell how far it is. Raises LeaseLostError."""
    until = transaction.now + timedelta(seconds=lease_s)
    _change_held(transaction, lease, lease_until=until, **_progress(models))


def give_back(
    transaction: Transaction, lease: Lease, available_at: datetime, *, attempts: int, peer_failures: int
) -> None:
    """Let others work on it from `available_at` on; so many more have failed. Raises LeaseLostError."""
    _change_held(
        transaction,
        lease,
        lease_token=None,
        lease_until=None,
        available_at=available_at,
        attempts=DATA_EXPORT.c.attempts + attempts,
        peer_failures=DATA_EXPORT.c.peer_failures + peer_failures,
    )


def succeed(transaction: Transaction, lease: Lease, file: FileDigest, models: Sequence[ModelRows]) -> None:
    """The lease's file is the export's. Raises LeaseLostError."""
    _end(
        transaction,
        lease,
        change(State.BUILDING, Event.BUILT),
        size_bytes=file.length,
        sha256=file.sha256,
        file_token=lease.token,
        **_progress(models),
    )


def fail(transaction: Transaction, lease: Lease, error: StoredError) -> None:
    """The export is given up. Raises LeaseLostError."""
    _end(transaction, lease, change(State.BUILDING, Event.GAVE_UP), error=asdict(error))


def cancel(transaction: Transaction, found: DataExport) -> None:
    """End an export that was read for this change; one that has ended stays as it is."""
    state = change(found.state, Event.CANCELLED)
    if state is found.state:
        return
    values = {"lease_token": None, "lease_until": None, "ended_at": transaction.now, "updated_at": transaction.now}
    transaction.execute(sql_update(DATA_EXPORT).where(DATA_EXPORT.c.id == found.id).values(state=state, **values))


def delete(transaction: Transaction, export_id: int) -> None:
    """Forget an export."""
    transaction.execute(sql_delete(DATA_EXPORT).where(DATA_EXPORT.c.id == export_id))


def _end(transaction: Transaction, lease: Lease, state: State, **values: Any) -> None:
    _change_held(
        transaction, lease, state=state, ended_at=transaction.now, lease_token=None, lease_until=None, **values
    )


def _progress(models: Sequence[ModelRows]) -> dict[str, Any]:
    return {"models": [asdict(each) for each in models], "object_count": sum(each.rows for each in models)}


def _change_held(transaction: Transaction, lease: Lease, **values: Any) -> None:
    held = and_(DATA_EXPORT.c.id == lease.export_id, DATA_EXPORT.c.lease_token == lease.token)
    changed = transaction.execute(sql_update(DATA_EXPORT).where(held).values(**values, updated_at=transaction.now))
    if changed.rowcount != 1:
        raise LeaseLostError(lease.export_id)


def _data_export(row: Any) -> DataExport:
    return DataExport(
        id=row.id,
        organization_id=row.organization_id,
        principal=row.principal,
        scope=Scope(row.scope),
        state=State(row.state),
        usernames=None if row.usernames is None else tuple(row.usernames),
        organization_slugs=None if row.organization_slugs is None else tuple(row.organization_slugs),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        object_count=row.object_count,
        models=tuple(ModelRows(**each) for each in row.models),
        file_token=row.file_token,
        error=None if row.error is None else msgspec.convert(row.error, StoredError),
        attempts=row.attempts,
        peer_failures=row.peer_failures,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
