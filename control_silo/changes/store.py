"""SQL on organization_change. A change's row is locked before any row of an organization or slug."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    LargeBinary,
    Row,
    SmallInteger,
    Table,
    Text,
    Uuid,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from control_silo.changes.domain import Change, ChangeKind, Plan
from control_silo.schema import METADATA
from shared.database import Transaction
from shared.requests.domain import RequestKey, RequestState, StoredError

organization_change = Table(
    "organization_change",
    METADATA,
    Column("principal", Text, primary_key=True),
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("region", Text, nullable=False),
    Column("organization_id", BigInteger),
    Column("slug", Text, nullable=False),
    Column("plan", JSONB, nullable=False),
    Column("error", JSONB(none_as_null=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

_KEY = tuple_(organization_change.c.principal, organization_change.c.request_id)

_CLEAN = text(
    """
    DELETE FROM organization_change WHERE (principal, request_id) IN (
        SELECT principal, request_id FROM organization_change
        WHERE state <> 'RUNNING' AND (kind <> 1 OR state = 'FAILED') AND updated_at < :older_than
            AND plan -> 'parked' IS DISTINCT FROM 'true'
        ORDER BY updated_at LIMIT :rows_max FOR UPDATE SKIP LOCKED
    )
    """
)

_FIND_OPEN = text(
    """
    SELECT principal, request_id FROM organization_change
    WHERE (state = 'RUNNING' OR plan -> 'parked' = 'true')
        AND (region = :region OR plan -> 'moves' @> jsonb_build_array(jsonb_build_object('region', :region)))
    ORDER BY principal, request_id
    """
)

_OLDEST = text(
    """
    SELECT min(updated_at) FROM organization_change
    WHERE state <> 'RUNNING' AND (kind <> 1 OR state = 'FAILED') AND plan -> 'parked' IS DISTINCT FROM 'true'
    """
)


def add(transaction: Transaction, change: Change) -> None:
    """Insert a new change."""
    transaction.execute(
        organization_change.insert(),
        {
            "principal": change.key.principal,
            "request_id": change.key.request_id,
            "kind": change.kind.value,
            "fingerprint": change.fingerprint,
            "created_at": change.created_at,
            **_mutable(change),
        },
    )


def update(transaction: Transaction, change: Change) -> None:
    """Write what may change of a change."""
    transaction.execute(
        organization_change.update()
        .where(
            organization_change.c.principal == change.key.principal,
            organization_change.c.request_id == change.key.request_id,
        )
        .values(**_mutable(change))
    )


def find_many(transaction: Transaction, keys: Sequence[RequestKey]) -> list[Change]:
    """The changes with these keys that exist."""
    return [_change(row) for row in transaction.execute(_select(keys))]


def lock_open(transaction: Transaction, region: str) -> list[Change]:
    """Lock the changes that wait for this region, whether parked or not."""
    found = transaction.execute(_FIND_OPEN, {"region": region})
    keys = [RequestKey(row.principal, str(row.request_id)) for row in found]
    return [change for change in lock(transaction, keys).values() if change.is_open]


def lock(transaction: Transaction, keys: Iterable[RequestKey]) -> dict[RequestKey, Change]:
    """Lock the changes with these keys that exist."""
    wanted = sorted(set(keys), key=lambda key: (key.principal, key.request_id))
    if not wanted:
        return {}
    ordered = _select(wanted).order_by(organization_change.c.principal, organization_change.c.request_id)
    changes = [_change(row) for row in transaction.execute(ordered.with_for_update())]
    return {change.key: change for change in changes}


def clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    """Delete up to `rows_max` changes closed before `older_than`, but no provision that has made an organization."""
    return transaction.execute(_CLEAN, {"older_than": older_than, "rows_max": rows_max}).rowcount


def oldest(transaction: Transaction) -> datetime | None:
    """When the oldest change that may be deleted was closed."""
    found: datetime | None = transaction.execute(_OLDEST).scalar_one()
    return found


def _select(keys: Sequence[RequestKey]):  # type: ignore[no-untyped-def]  # a Select of twelve types
    return select(organization_change).where(_KEY.in_([(key.principal, key.request_id) for key in keys]))


def _mutable(change: Change) -> dict[str, object]:
    return {
        "state": change.state.value,
        "region": change.region,
        "organization_id": change.organization_id,
        "slug": change.slug,
        "plan": msgspec.to_builtins(change.plan),
        "error": None if change.error is None else msgspec.to_builtins(change.error),
        "updated_at": change.updated_at,
    }


def _change(row: Row[tuple[object, ...]]) -> Change:
    return Change(
        key=RequestKey(row.principal, row.request_id),
        kind=ChangeKind(row.kind),
        state=RequestState(row.state),
        fingerprint=bytes(row.fingerprint),
        created_at=row.created_at,
        updated_at=row.updated_at,
        region=row.region,
        organization_id=row.organization_id,
        slug=row.slug,
        plan=msgspec.convert(row.plan, Plan),
        error=None if row.error is None else msgspec.convert(row.error, StoredError),
    )
