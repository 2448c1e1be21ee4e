"""The SQL of request records. Records are written with the transaction's time."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from shared.database import Transaction
from shared.requests.domain import Mutation, RequestKey, RequestRecord, RequestState, StoredError
from shared.schema import request_record
from shared.statements import Statement

_SUCCEED = Statement(
    """
    UPDATE request_record
    SET state = 'SUCCEEDED', answer = CAST(:answer AS jsonb), resource = NULLIF(:resource, ''), updated_at = :now
    WHERE principal = :principal AND request_id = CAST(:request_id AS uuid)
    """
)

_INSERT = Statement(
    """
    INSERT INTO request_record
        (principal, request_id, method, fingerprint, state, resource, created_at, updated_at)
    VALUES (:principal, CAST(:request_id AS uuid), :method, :fingerprint, :state, :resource, :now, :now)
    ON CONFLICT ON CONSTRAINT request_record_pkey DO NOTHING
    """
)


def insert(transaction: Transaction, mutation: Mutation, state: RequestState, resource: str | None = None) -> bool:
    """Insert the record unless the key is there; waits for a transaction that is just inserting it."""
    row = {
        "principal": mutation.principal,
        "request_id": mutation.request_id,
        "method": mutation.method,
        "fingerprint": mutation.fingerprint,
        "state": state.value,
        "resource": resource,
        "now": transaction.now,
    }
    return transaction.run(_INSERT, row) == 1


def succeed(transaction: Transaction, key: RequestKey, answer: bytes, resource: str) -> None:
    """Keep the answer (JSON text): it goes with what the transaction asks next, or with COMMIT."""
    transaction.later(
        _SUCCEED,
        {
            "answer": answer.decode(),
            "resource": resource,
            "now": transaction.now,
            "principal": key.principal,
            "request_id": key.request_id,
        },
    )


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
