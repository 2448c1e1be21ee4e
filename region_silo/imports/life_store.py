"""SQL of changes of an import that others than its lease's holder make. The import's row is locked first."""

from typing import Any

from sqlalchemy import select as sql_select
from sqlalchemy import text
from sqlalchemy import update as sql_update

from region_silo.imports.domain import DataImport, State
from region_silo.imports.store import LEASE_SKEW
from region_silo.imports.tables import DATA_IMPORT, data_import_of
from shared.database import Transaction

# A row of the ledger whose organization is not there, or on its way out.
_GONE = text(
    """
    SELECT made.new_pk FROM import_row AS made LEFT JOIN organization ON organization.id = made.new_pk
    WHERE made.import_id = :import_id AND made.model = 'sentry.organization'
        AND (organization.id IS NULL OR organization.deletion >= 2)
    LIMIT 1
    """
)


def lock(transaction: Transaction, import_id: int) -> tuple[DataImport, bool]:
    """The import, which exists, and whether a process works on it; nobody changes it until the transaction's end.

    A batch under way is not waited for.
    """
    row = transaction.execute(
        sql_select(DATA_IMPORT).where(DATA_IMPORT.c.id == import_id).with_for_update(key_share=True)
    ).one()
    leased = row.lease_until is not None and row.lease_until >= transaction.now - LEASE_SKEW
    return data_import_of(row), leased


def want(transaction: Transaction, import_id: int, state: State | None) -> None:
    """Ask the process that works on it for that state; None takes it back."""
    _change(transaction, import_id, wanted=state or 0)


def rest(transaction: Transaction, import_id: int, columns: dict[str, Any]) -> None:
    """Set the columns of an import on which nobody works."""
    _change(transaction, import_id, **columns)


def go_on(transaction: Transaction, import_id: int, state: State) -> None:
    """Let it be worked on at once."""
    _change(transaction, import_id, state=state, available_at=transaction.now, wanted=0, went_on_at=None)


def take_up(
    transaction: Transaction, import_id: int, state: State, continue_on_error: bool, *, forgotten: int = 0
) -> None:
    """Let it be worked on as one that has not failed yet, and what failed be tried again; `forgotten` errors are
    told no more.
    """
    _change(
        transaction,
        import_id,
        state=state,
        available_at=transaction.now,
        went_on_at=None,
        wanted=0,
        tries=DATA_IMPORT.c.tries + 1,
        continue_on_error=continue_on_error,
        finding_count=DATA_IMPORT.c.finding_count - forgotten,
        error_count=DATA_IMPORT.c.error_count - forgotten,
        error=None,
        ended_at=None,
        asked_at=None,
        attempts=0,
        peer_failures=0,
    )


def begin_undo(transaction: Transaction, found: DataImport, state: State, principal: str) -> None:
    """Let it be undone from the beginning."""
    _change(
        transaction,
        found.id,
        state=state,
        available_at=transaction.now,
        went_on_at=None,
        wanted=0,
        error=None,
        ended_at=None,
        attempts=0,
        peer_failures=0,
        undo_count=DATA_IMPORT.c.undo_count + 1,
        undone_by=principal,
        undo_step="",
        undo_after=0,
        undo_opens=found.undo.opens or found.state is State.SUCCEEDED,
    )


def organization_gone(transaction: Transaction, import_id: int) -> int | None:
    """The id of an organization that the import made and that is purged or being purged."""
    gone: int | None = transaction.execute(_GONE, {"import_id": import_id}).scalar()
    return gone


def _change(transaction: Transaction, import_id: int, **values: Any) -> None:
    transaction.execute(
        sql_update(DATA_IMPORT).where(DATA_IMPORT.c.id == import_id).values(**values, updated_at=transaction.now)
    )
