"""SQL of imports in the region: the run's row, and the lease under which one process works on it.

Processes take imports of different principals in turn. A writer proves that it holds the lease by changing the import's
row under its token; that also keeps a second writer out until the transaction ends.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import and_, case, func, lateral, literal_column, or_, true
from sqlalchemy import delete as sql_delete
from sqlalchemy import select as sql_select
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from region_silo.imports.domain import RUNNING, DataImport, Event, ModelTotal, Scope, State, change
from region_silo.imports.options import ImportOptions
from region_silo.imports.tables import DATA_IMPORT, data_import_of
from shared.database import Transaction
from shared.requests.domain import StoredError

LEASE_SKEW = timedelta(seconds=5)


@dataclass(frozen=True)
class UploadRow:
    """What an upload's header gives for the row; `size_bytes` 0 and `sha256` "" are not known."""

    request_id: str
    scope: Scope
    size_bytes: int
    sha256: str
    options: ImportOptions
    is_plan: bool = False

    def columns(self) -> dict[str, Any]:
        """As the row has it."""
        goes_on = self.is_plan or self.options.continue_on_error  # a plan tells all that it finds
        chosen = {"options": msgspec.to_builtins(self.options), "continue_on_error": goes_on}
        return {**asdict(self), **chosen}


class LeaseLostError(Exception):
    """Another process works on the import now; this one has to stop."""


@dataclass(frozen=True)
class Lease:
    """The right to work on one import, until it runs out or is given back."""

    import_id: int
    token: str


def insert_uploading(transaction: Transaction, import_id: int, principal: str, header: "UploadRow") -> int | None:
    """The trace of an upload that begins; None when one of the same request has left its own."""
    values = {
        "id": import_id,
        "principal": principal,
        "state": State.UPLOADING,
        **header.columns(),
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
    made: int | None = transaction.execute(
        pg_insert(DATA_IMPORT).values(values).on_conflict_do_nothing().returning(DATA_IMPORT.c.id)
    ).scalar()
    return made


def find_uploading(transaction: Transaction, principal: str, request_id: str) -> DataImport | None:
    """The upload of a request that has begun and is not whole."""
    of_request = and_(DATA_IMPORT.c.principal == principal, DATA_IMPORT.c.request_id == request_id)
    query = sql_select(DATA_IMPORT).where(of_request, DATA_IMPORT.c.state == State.UPLOADING)
    row = transaction.execute(query).one_or_none()
    return None if row is None else data_import_of(row)


def touch_uploading(transaction: Transaction, import_id: int, header: "UploadRow | None" = None) -> None:
    """The upload goes on, or has just broken off: what is kept of it is kept from now on; `header` is its new one."""
    of_upload = and_(DATA_IMPORT.c.id == import_id, DATA_IMPORT.c.state == State.UPLOADING)
    announced = {} if header is None else header.columns()
    transaction.execute(sql_update(DATA_IMPORT).where(of_upload).values(updated_at=transaction.now, **announced))


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
    """Forget uploads that nobody went on with since then. Returns their ids."""
    rows = transaction.execute(
        sql_delete(DATA_IMPORT)
        .where(DATA_IMPORT.c.state == State.UPLOADING, DATA_IMPORT.c.updated_at < older_than)
        .returning(DATA_IMPORT.c.id)
    )
    return [row.id for row in rows]


def find(transaction: Transaction, import_id: int) -> DataImport | None:
    """One import."""
    row = transaction.execute(sql_select(DATA_IMPORT).where(DATA_IMPORT.c.id == import_id)).one_or_none()
    return None if row is None else data_import_of(row)


def page(transaction: Transaction, principal: str | None, before_id: int | None, rows_max: int) -> list[DataImport]:
    """Imports of a principal (None: of all), newest first, ids below `before_id`; uploads under way are left out.

    So are options, which may be long.
    """
    columns = [each for each in DATA_IMPORT.c if each.name != "options"]
    query = sql_select(*columns, literal_column("CAST('{}' AS jsonb)").label("options"))
    query = query.where(DATA_IMPORT.c.state != State.UPLOADING)
    if principal is not None:
        query = query.where(DATA_IMPORT.c.principal == principal)
    if before_id is not None:
        query = query.where(DATA_IMPORT.c.id < before_id)
    return [data_import_of(row) for row in transaction.execute(query.order_by(DATA_IMPORT.c.id.desc()).limit(rows_max))]


def with_file(transaction: Transaction, file_ids: Iterable[int]) -> dict[int, list[DataImport]]:
    """The imports that have these files: a plan's is also that of the imports that apply it."""
    wanted = list(file_ids)
    file_id = func.coalesce(DATA_IMPORT.c.plan_id, DATA_IMPORT.c.id)
    having = or_(and_(DATA_IMPORT.c.id.in_(wanted), DATA_IMPORT.c.plan_id.is_(None)), DATA_IMPORT.c.plan_id.in_(wanted))
    found: dict[int, list[DataImport]] = {}
    for row in transaction.execute(sql_select(DATA_IMPORT, file_id.label("file_id")).where(having)):
        found.setdefault(row.file_id, []).append(data_import_of(row))
    return found


def lease_next(transaction: Transaction, lease_s: float) -> tuple[Lease, DataImport] | None:
    """Take an import that nobody works on; None when there is none.

    One that waits for its slugs goes first, for it takes no time. The others: that of the principal whose imports have
    been left alone for longest, and of that one's the oldest.
    """
    now = transaction.now
    of_same = DATA_IMPORT.alias("of_same")
    served = lateral(
        sql_select(func.max(of_same.c.served_at).label("at")).where(
            of_same.c.principal == DATA_IMPORT.c.principal, of_same.c.state.in_(RUNNING)
        )
    ).alias("served")
    found = transaction.execute(
        sql_select(DATA_IMPORT.c.id, DATA_IMPORT.c.state, DATA_IMPORT.c.is_plan)
        .join(served, true())
        .where(*_available(now))
        .order_by(DATA_IMPORT.c.state != State.RESERVING, served.c.at.nulls_first(), DATA_IMPORT.c.id)
        .limit(1)
        .with_for_update(of=DATA_IMPORT, skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    lease = Lease(found.id, str(uuid.uuid4()))
    state, _ = change(State(found.state), Event.LEASED_TO_PLAN if found.is_plan else Event.LEASED)
    row = transaction.execute(
        sql_update(DATA_IMPORT)
        .where(DATA_IMPORT.c.id == lease.import_id)
        .values(
            state=state,
            lease_token=lease.token,
            lease_until=now + timedelta(seconds=lease_s),
            started_at=func.coalesce(DATA_IMPORT.c.started_at, now),
            went_on_at=func.coalesce(DATA_IMPORT.c.went_on_at, now),
            served_at=now if state in (State.WRITING, State.PLANNING, State.UNDOING) else DATA_IMPORT.c.served_at,
            updated_at=now,
        )
        .returning(*DATA_IMPORT.c)
    ).one()
    return lease, data_import_of(row)


def others_wait(transaction: Transaction, principal: str) -> bool:
    """Whether an import waits for work that should not wait for the end of this principal's."""
    other = or_(DATA_IMPORT.c.principal != principal, DATA_IMPORT.c.state == State.RESERVING)
    query = sql_select(DATA_IMPORT.c.id).where(*_available(transaction.now), other).limit(1)
    return transaction.execute(query).one_or_none() is not None


def renew(transaction: Transaction, lease: Lease, lease_s: float) -> State | None:
    """Hold on to the import for this transaction and a while longer; the state that somebody asked for meanwhile.
    Raises LeaseLostError.
    """
    until = transaction.now + timedelta(seconds=lease_s)
    return _change_held(transaction, lease, lease_until=until)


def give_back(
    transaction: Transaction,
    lease: Lease,
    available_at: datetime,
    *,
    attempts: int = 0,
    peer_failures: int | None = None,
) -> None:
    """Let others work on it from `available_at` on, at once when somebody asked for another state; `attempts` more
    have failed. Raises LeaseLostError.
    """
    failures = {} if peer_failures is None else {"peer_failures": peer_failures}
    _change_held(
        transaction,
        lease,
        lease_token=None,
        lease_until=None,
        available_at=case((DATA_IMPORT.c.wanted == 0, available_at), else_=transaction.now),
        attempts=DATA_IMPORT.c.attempts + attempts,
        **failures,
    )


def add_progress(
    transaction: Transaction, lease: Lease, lease_s: float, *, done: int, findings: int, error_count: int
) -> State | None:
    """Count rows and findings, which may be fewer than before, and hold on to the import for a while longer; the state
    that somebody asked for. Raises LeaseLostError.
    """
    return _change_held(
        transaction,
        lease,
        lease_until=transaction.now + timedelta(seconds=lease_s),
        done_count=DATA_IMPORT.c.done_count + done,
        finding_count=DATA_IMPORT.c.finding_count + findings,
        error_count=DATA_IMPORT.c.error_count + error_count,
    )


def set_state(transaction: Transaction, lease: Lease, state: State) -> None:
    """Go on in another state. Raises LeaseLostError."""
    _change_held(transaction, lease, state=state)


def set_undo(
    transaction: Transaction, lease: Lease, step: str, after: int, *, undone: int, kept: int, findings: int
) -> None:
    """The undoing has come to a step, and in that up to a pk; count what was undone and what stays. Raises
    LeaseLostError.
    """
    _change_held(
        transaction,
        lease,
        undo_step=step,
        undo_after=after,
        undone_count=DATA_IMPORT.c.undone_count + undone,
        kept_count=DATA_IMPORT.c.kept_count + kept,
        finding_count=DATA_IMPORT.c.finding_count + findings,
    )


def set_asked(transaction: Transaction, lease: Lease) -> None:
    """Control was asked for slugs just now. Raises LeaseLostError."""
    _change_held(transaction, lease, asked_at=transaction.now, peer_failures=0)


def end(transaction: Transaction, lease: Lease, state: State, error: StoredError | None) -> None:
    """The import is over, or rests. Raises LeaseLostError."""
    _change_held(transaction, lease, **at_rest(transaction, state, error))


def at_rest(transaction: Transaction, state: State, error: StoredError | None) -> dict[str, Any]:
    """The columns of an import on which nobody works any more."""
    return {
        "state": state,
        "error": None if error is None else asdict(error),
        "ended_at": None if state is State.PAUSED else transaction.now,
        "lease_token": None,
        "lease_until": None,
        "wanted": 0,
    }


def _available(now: datetime) -> tuple[Any, ...]:
    free = or_(DATA_IMPORT.c.lease_until.is_(None), DATA_IMPORT.c.lease_until < now - LEASE_SKEW)
    return DATA_IMPORT.c.state.in_(RUNNING), DATA_IMPORT.c.available_at <= now, free


def is_held(lease: Lease) -> Any:
    """The condition of the import's row under which the lease is still ours."""
    return and_(DATA_IMPORT.c.id == lease.import_id, DATA_IMPORT.c.lease_token == lease.token)


def _change_held(transaction: Transaction, lease: Lease, **values: Any) -> State | None:
    changed = transaction.execute(
        sql_update(DATA_IMPORT)
        .where(is_held(lease))
        .values(**values, updated_at=transaction.now)
        .returning(DATA_IMPORT.c.wanted)
    ).one_or_none()
    if changed is None:
        raise LeaseLostError(lease.import_id)
    return State(changed.wanted) if changed.wanted else None
