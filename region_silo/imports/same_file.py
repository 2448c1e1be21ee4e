"""SQL that keeps one file from being imported twice at one time; plans of it do not count, for they write nothing."""

from sqlalchemy import and_, text
from sqlalchemy import select as sql_select

from region_silo.imports.domain import RUNNING, Scope, State, import_name
from region_silo.imports.tables import DATA_IMPORT
from shared import errors
from shared.database import Transaction

_LOCK_FILE = text("SELECT pg_advisory_xact_lock(hashtextextended(:file, 0))")


def lock_file(transaction: Transaction, sha256: str, scope: Scope) -> None:
    """Let one at a time, until the transaction's end, look for imports of a file and queue another one."""
    transaction.execute(_LOCK_FILE, {"file": f"{scope.name} {sha256}"})


def _running_with_file(transaction: Transaction, sha256: str, scope: Scope) -> int | None:
    """An import of that file that runs or is paused; plans do not count."""
    of_file = and_(DATA_IMPORT.c.sha256 == sha256, DATA_IMPORT.c.scope == scope, ~DATA_IMPORT.c.is_plan)
    query = sql_select(DATA_IMPORT.c.id).where(of_file, DATA_IMPORT.c.state.in_((*RUNNING, State.PAUSED)))
    found: int | None = transaction.execute(query.order_by(DATA_IMPORT.c.id).limit(1)).scalar()
    return found


def refuse_same_file(transaction: Transaction, sha256: str, scope: Scope) -> None:
    """Nobody wants everything twice: a second import would only make copies under other slugs. Raises
    FileBeingImported.
    """
    other = _running_with_file(transaction, sha256, scope)
    if other is not None:
        raise errors.FileBeingImported(
            f"{import_name(other)} is importing the same file; wait for its end, or cancel it.",
            metadata={"import": import_name(other)},
        )
