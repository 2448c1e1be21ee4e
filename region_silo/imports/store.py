"""SQL of imports in the region: the run's row with its lease, chunks, findings, and the ledger's rows from control.

A writer proves that it holds the lease by changing the import's row under its token; that also keeps a second writer
out until the transaction ends.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, SmallInteger, Table, Text, and_, func, or_
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import select as sql_select
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import JSONB, UUID

from region_silo.imports.domain import (
    DataImport,
    Event,
    ModelTotal,
    Scope,
    State,
    change,
)
from region_silo.schema import METADATA
from shared.database import Transaction
from shared.importing.decisions import BatchFinding, Counts, LedgerRow
from shared.requests.domain import StoredError

DATA_IMPORT = Table(
    "data_import",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("principal", Text),
    Column("request_id", UUID(as_uuid=False)),
    Column("scope", SmallInteger),
    Column("state", SmallInteger),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("object_count", BigInteger),
    Column("done_count", BigInteger),
    Column("finding_count", BigInteger),
    Column("models", JSONB),
    Column("error", JSONB(none_as_null=True)),
    Column("lease_token", UUID(as_uuid=False)),
    Column("lease_until", DateTime(timezone=True)),
    Column("attempts", Integer),
    Column("peer_failures", Integer),
    Column("asked_at", DateTime(timezone=True)),
    Column("available_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True)),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
)
IMPORT_CHUNK = Table(
    "import_chunk",
    METADATA,
    Column("import_id", BigInteger, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("first_ordinal", BigInteger, primary_key=True),
    Column("last_ordinal", BigInteger),
    Column("counts", JSONB),
    Column("created_at", DateTime(timezone=True)),
)
IMPORT_FINDING = Table(
    "import_finding",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("import_id", BigInteger),
    Column("kind", Text),
    Column("model", Text),
    Column("ordinal", BigInteger),
    Column("pk", Text),
    Column("field", Text),
    Column("reason", Text),
    Column("skipped", Boolean),
)

_OPEN = (State.QUEUED, State.WRITING, State.RESERVING)
_LEASE_SKEW = timedelta(seconds=5)
_COUNTED = ("inserted", "merged", "overwritten", "suffixed", "skipped")


class LeaseLostError(Exception):
    """Another process works on the import now; this one has to stop."""


@dataclass(frozen=True)
class Lease:
    """The right to work on one import, until it runs out or is given back."""

    import_id: int
    token: str


def insert_uploading(transaction: Transaction, import_id: int, principal: str, request_id: str, scope: Scope) -> None:
    """The trace of an upload that begins."""
    values = {
        "id": import_id,
        "principal": principal,
        "request_id": request_id,
        "scope": scope,
        "state": State.UPLOADING,
        "size_bytes": 0,
        "sha256": "",
        "object_count": 0,
        "done_count": 0,
        "finding_count": 0,
        "models": [],
        "attempts": 0,
        "peer_failures": 0,
        "available_at": transaction.now,
        "created_at": transaction.now,
        "updated_at": transaction.now,
    }
    transaction.execute(sql_insert(DATA_IMPORT), values)


def queue(
    transaction: Transaction, import_id: int, *, size_bytes: int, sha256: str, models: Sequence[ModelTotal]
) -> bool:
    """The file is whole; False when the upload's row is gone or not UPLOADING any more."""
    state, _ = change(State.UPLOADING, Event.RECEIVED)
    changed = transaction.execute(
        sql_update(DATA_IMPORT)
        .where(DATA_IMPORT.c.id == import_id, DATA_IMPORT.c.state == State.UPLOADING)
        .values(
            state=state,
            size_bytes=size_bytes,
            sha256=sha256,
            object_count=sum(each.rows for each in models),
            models=[asdict(each) for each in models],
            available_at=transaction.now,
            updated_at=transaction.now,
        )
    )
    return changed.rowcount == 1


def delete_uploading(transaction: Transaction, import_id: int) -> None:
    """Forget an upload that was broken off."""
    transaction.execute(
        sql_delete(DATA_IMPORT).where(DATA_IMPORT.c.id == import_id, DATA_IMPORT.c.state == State.UPLOADING)
    )


def delete_stale_uploads(transaction: Transaction, older_than: datetime) -> list[int]:
    """Forget uploads whose process died: they have no end any more. Returns their ids."""
    rows = transaction.execute(
        sql_delete(DATA_IMPORT)
        .where(DATA_IMPORT.c.state == State.UPLOADING, DATA_IMPORT.c.created_at < older_than)
        .returning(DATA_IMPORT.c.id)
    )
    return [row.id for row in rows]


def find(transaction: Transaction, import_id: int) -> DataImport | None:
    """One import."""
    row = transaction.execute(sql_select(DATA_IMPORT).where(DATA_IMPORT.c.id == import_id)).one_or_none()
    return None if row is None else _data_import(row)


def page(transaction: Transaction, principal: str | None, before_id: int | None, rows_max: int) -> list[DataImport]:
    """Imports of a principal (None: of all), newest first, ids below `before_id`; uploads under way are left out."""
    query = sql_select(DATA_IMPORT).where(DATA_IMPORT.c.state != State.UPLOADING)
    if principal is not None:
        query = query.where(DATA_IMPORT.c.principal == principal)
    if before_id is not None:
        query = query.where(DATA_IMPORT.c.id < before_id)
    return [_data_import(row) for row in transaction.execute(query.order_by(DATA_IMPORT.c.id.desc()).limit(rows_max))]


def states_of(transaction: Transaction, import_ids: Iterable[int]) -> dict[int, tuple[State, datetime]]:
    """State and last change of those that exist."""
    query = sql_select(DATA_IMPORT.c.id, DATA_IMPORT.c.state, DATA_IMPORT.c.updated_at)
    rows = transaction.execute(query.where(DATA_IMPORT.c.id.in_(list(import_ids))))
    return {row.id: (State(row.state), row.updated_at) for row in rows}


def lease_next(transaction: Transaction, lease_s: float) -> tuple[Lease, DataImport] | None:
    """Take the import that has waited longest and that nobody works on; None when there is none."""
    now = transaction.now
    free = or_(DATA_IMPORT.c.lease_until.is_(None), DATA_IMPORT.c.lease_until < now - _LEASE_SKEW)
    found = transaction.execute(
        sql_select(DATA_IMPORT.c.id, DATA_IMPORT.c.state)
        .where(DATA_IMPORT.c.state.in_(_OPEN), DATA_IMPORT.c.available_at <= now, free)
        .order_by(DATA_IMPORT.c.available_at, DATA_IMPORT.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    lease = Lease(found.id, str(uuid.uuid4()))
    state, _ = change(State(found.state), Event.LEASED)
    row = transaction.execute(
        sql_update(DATA_IMPORT)
        .where(DATA_IMPORT.c.id == lease.import_id)
        .values(
            state=state,
            lease_token=lease.token,
            lease_until=now + timedelta(seconds=lease_s),
            started_at=func.coalesce(DATA_IMPORT.c.started_at, now),
            updated_at=now,
        )
        .returning(*DATA_IMPORT.c)
    ).one()
    return lease, _data_import(row)


def renew(transaction: Transaction, lease: Lease, lease_s: float) -> None:
    """Hold on to the import for this transaction and a while longer. Raises LeaseLostError."""
    until = transaction.now + timedelta(seconds=lease_s)
    _change_held(transaction, lease, lease_until=until)


def commit_without_waiting(transaction: Transaction) -> None:
    """Let COMMIT return before the batch is on disk. A crash of the database may then lose the last batches.

    They are lost as a whole, chunks and all, and never earlier ones without later ones: the import goes on where its
    chunks end. The next transaction that waits, as each change of the import's state does, brings all of them to disk.
    """
    transaction.driver.execute(b"SET LOCAL synchronous_commit = off", prepare=False)


def give_back(
    transaction: Transaction,
    lease: Lease,
    available_at: datetime,
    *,
    attempts: int = 0,
    peer_failures: int | None = None,
) -> None:
    """Let others work on it from `available_at` on; `attempts` more have failed. Raises LeaseLostError."""
    failures = {} if peer_failures is None else {"peer_failures": peer_failures}
    _change_held(
        transaction,
        lease,
        lease_token=None,
        lease_until=None,
        available_at=available_at,
        attempts=DATA_IMPORT.c.attempts + attempts,
        **failures,
    )


def add_progress(transaction: Transaction, lease: Lease, *, done: int, findings: int) -> None:
    """Count rows and findings. Raises LeaseLostError."""
    _change_held(
        transaction,
        lease,
        done_count=DATA_IMPORT.c.done_count + done,
        finding_count=DATA_IMPORT.c.finding_count + findings,
    )


def set_state(transaction: Transaction, lease: Lease, state: State) -> None:
    """Go on in another state. Raises LeaseLostError."""
    _change_held(transaction, lease, state=state)


def set_asked(transaction: Transaction, lease: Lease) -> None:
    """Control was asked for slugs just now. Raises LeaseLostError."""
    _change_held(transaction, lease, asked_at=transaction.now, peer_failures=0)


def end(transaction: Transaction, lease: Lease, state: State, error: StoredError | None) -> None:
    """The import is over. Raises LeaseLostError."""
    _change_held(
        transaction,
        lease,
        state=state,
        error=None if error is None else asdict(error),
        ended_at=transaction.now,
        lease_token=None,
        lease_until=None,
    )


def next_ordinals(transaction: Transaction, import_id: int) -> dict[str, int]:
    """Where each model goes on: the ordinal after its last written chunk. Models without a chunk are absent."""
    last = func.max(IMPORT_CHUNK.c.last_ordinal)
    query = sql_select(IMPORT_CHUNK.c.model, last.label("last")).where(IMPORT_CHUNK.c.import_id == import_id)
    rows = transaction.execute(query.group_by(IMPORT_CHUNK.c.model))
    return {row.model: row.last + 1 for row in rows}


def insert_chunk(
    transaction: Transaction, import_id: int, model: str, *, first_ordinal: int, last_ordinal: int, counts: Counts
) -> None:
    """Record that these rows are done."""
    values = {
        "import_id": import_id,
        "model": model,
        "first_ordinal": first_ordinal,
        "last_ordinal": last_ordinal,
        "counts": asdict(counts),
        "created_at": transaction.now,
    }
    transaction.execute(sql_insert(IMPORT_CHUNK), values)


def copy_findings(transaction: Transaction, import_id: int, findings: Iterable[BatchFinding]) -> None:
    """Add findings in bulk, in their order."""
    columns = "import_id, kind, model, ordinal, pk, field, reason, skipped"
    with (
        transaction.driver.cursor() as cursor,
        cursor.copy(f"COPY import_finding ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
    ):
        copy.set_types(("int8", "text", "text", "int8", "text", "text", "text", "bool"))
        for each in findings:
            copy.write_row(
                (import_id, each.kind, each.model, each.ordinal, each.pk, each.field, each.reason, each.skipped)
            )


def copy_ledger(transaction: Transaction, import_id: int, model: str, rows: Iterable[LedgerRow]) -> None:
    """Enter into the region's pk map what control has written."""
    columns = "import_id, model, old_pk, new_pk, decision, ordinal, suffixed"
    with (
        transaction.driver.cursor() as cursor,
        cursor.copy(f"COPY import_row ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
    ):
        copy.set_types(("int8", "text", "int8", "int8", "int2", "int8", "text"))
        for each in rows:
            copy.write_row((import_id, model, each.old_pk, each.new_pk, each.decision, each.ordinal, each.suffixed))


def counts_by_model(transaction: Transaction, import_id: int) -> dict[str, Counts]:
    """The sums of all chunks."""
    sums = [
        func.coalesce(func.sum(IMPORT_CHUNK.c.counts[name].astext.cast(BigInteger)), 0).label(name) for name in _COUNTED
    ]
    query = sql_select(IMPORT_CHUNK.c.model, *sums).where(IMPORT_CHUNK.c.import_id == import_id)
    rows = transaction.execute(query.group_by(IMPORT_CHUNK.c.model))
    return {row.model: Counts(**{name: int(getattr(row, name)) for name in _COUNTED}) for row in rows}


def findings_page(
    transaction: Transaction, import_id: int, kind: str, after_id: int, rows_max: int
) -> list[tuple[int, BatchFinding]]:
    """Findings with ids above `after_id`, in the order in which they were found; `kind` "" means all."""
    table = IMPORT_FINDING
    query = sql_select(table).where(table.c.import_id == import_id, table.c.id > after_id)
    if kind:
        query = query.where(table.c.kind == kind)
    rows = transaction.execute(query.order_by(table.c.id).limit(rows_max))
    return [
        (row.id, BatchFinding(row.kind, row.model, row.ordinal, row.pk, row.field, row.reason, row.skipped))
        for row in rows
    ]


def _change_held(transaction: Transaction, lease: Lease, **values: Any) -> None:
    held = and_(DATA_IMPORT.c.id == lease.import_id, DATA_IMPORT.c.lease_token == lease.token)
    changed = transaction.execute(sql_update(DATA_IMPORT).where(held).values(**values, updated_at=transaction.now))
    if changed.rowcount != 1:
        raise LeaseLostError(lease.import_id)


def _data_import(row: Any) -> DataImport:
    return DataImport(
        id=row.id,
        principal=row.principal,
        request_id=row.request_id,
        scope=Scope(row.scope),
        state=State(row.state),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        object_count=row.object_count,
        done_count=row.done_count,
        finding_count=row.finding_count,
        models=tuple(ModelTotal(**each) for each in row.models),
        error=None if row.error is None else msgspec.convert(row.error, StoredError),
        attempts=row.attempts,
        peer_failures=row.peer_failures,
        asked_at=row.asked_at,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
