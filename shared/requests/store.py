"""The SQL of request records. Records are written with the transaction's time."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from shared.database import Transaction
from shared.requests.domain import Mutation, RequestKey, RequestRecord, RequestState, StoredError
from shared.schema import request_record
from shared.statements import Statement

_LOCK = Statement(
    "SELECT pg_advisory_xact_lock(hashtextextended(CAST(:principal AS text) || ' ' || CAST(:request_id AS text), 0))"
)

_FIND = Statement(
    "SELECT state FROM request_record WHERE principal = :principal AND request_id = CAST(:request_id AS uuid)"
)

_INSERT_RUNNING = Statement(
    """
    INSERT INTO request_record
        (principal, request_id, method, fingerprint, state, resource, created_at, updated_at)
    VALUES (:principal, CAST(:request_id AS uuid), :method, :fingerprint, 'RUNNING', :resource, :now, :now)
    ON CONFLICT ON CONSTRAINT request_record_pkey DO NOTHING
    """
)

_INSERT_SUCCEEDED = Statement(
    """
    INSERT INTO request_record
        (principal, request_id, method, fingerprint, state, answer, resource, created_at, updated_at)
    VALUES (:principal, CAST(:request_id AS uuid), :method, :fingerprint, 'SUCCEEDED', CAST(:answer AS jsonb),
        NULLIF(:resource, ''), :now, :now)
    """
)


def claim(transaction: Transaction, key: RequestKey) -> bool:
    """Keep the key to this transaction until it ends, waiting for another one that has it; whether it has no record."""
    values = {"principal": key.principal, "request_id": key.request_id}
    transaction.later(_LOCK, values)
    return transaction.one(_FIND, values) is None  # a statement of its own: it sees what the wait was for


def insert_running(transaction: Transaction, mutation: Mutation, resource: str) -> bool:
    """Insert the record unless the key has one; waits as `claim` does."""
    transaction.later(_LOCK, {"principal": mutation.principal, "request_id": mutation.request_id})
    return transaction.run(_INSERT_RUNNING, {**_columns(transaction, mutation), "resource": resource}) == 1


def insert_succeeded(transaction: Transaction, mutation: Mutation, answer: bytes, resource: str) -> None:
    """Insert the record of a key that was claimed, with the answer (JSON text); it goes with COMMIT."""
    values = {**_columns(transaction, mutation), "answer": answer.decode(), "resource": resource}
    transaction.later(_INSERT_SUCCEEDED, values)


def close(
    transaction: Transaction, key: RequestKey, error: StoredError | None, *, states: Sequence[RequestState]
) -> None:
    """A record in one of these states becomes SUCCEEDED, or FAILED with the error."""
    state = RequestState.SUCCEEDED if error is None else RequestState.FAILED
    transaction.execute(
        update(request_record)
        .where(request_record.c.principal == key.principal, request_record.c.request_id == key.request_id)
        .where(request_record.c.state.in_([each.value for each in states]))
        .values(
            state=state.value,
            error=None if error is None else msgspec.to_builtins(error),
            updated_at=transaction.now,
        )
    )


def find(transaction: Transaction, key: RequestKey) -> RequestRecord | None:
    """The record with that key."""
    statement = select(request_record).where(
        request_record.c.principal == key.principal, request_record.c.request_id == key.request_id
    )
    row = transaction.execute(statement).one_or_none()
    return None if row is None else _record(row)


def _columns(transaction: Transaction, mutation: Mutation) -> dict[str, object]:
    return {
        "principal": mutation.principal,
        "request_id": mutation.request_id,
        "method": mutation.method,
        "fingerprint": mutation.fingerprint,
        "now": transaction.now,
    }


def _record(row: Row[Any]) -> RequestRecord:
    return RequestRecord(
        key=RequestKey(row.principal, str(row.request_id)),
        method=row.method,
        fingerprint=bytes(row.fingerprint),
        state=RequestState(row.state),
        answer=row.answer,
        resource=row.resource or "",
        error=None if row.error is None else msgspec.convert(row.error, StoredError),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
