"""What the driver's errors mean: which of our refusals each becomes. Its texts end here."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared import errors
from shared.statements import FORGOTTEN

CONFLICTS = frozenset({"40001", "40P01", FORGOTTEN})
"""The work is run again."""

_LOCK_NOT_AVAILABLE = "55P03"
_QUERY_CANCELED = "57014"
_CONNECTION_ENDED = frozenset({"57P01", "57P02", "57P03", "25P03"})


def constraint_name(exc: IntegrityError) -> str | None:
    """The name of the constraint that refused the row: the way to tell unique violations apart."""
    return exc.orig.diag.constraint_name if isinstance(exc.orig, psycopg.Error) else None


def sqlstate(exc: BaseException | None) -> str | None:
    """PostgreSQL's five letters, or None when it was not the server that spoke."""
    original = exc.orig if isinstance(exc, DBAPIError) else exc
    return original.sqlstate if isinstance(original, psycopg.Error) else None


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises before COMMIT into our errors: until then nothing has happened."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as exc:
        refusal = refusal_of(exc)
        if refusal is None:
            raise
        raise refusal from exc


def refusal_of(exc: Exception) -> errors.ServiceError | None:
    """What callers see of an error of the database; None for a constraint and for mistakes."""
    state = sqlstate(exc)
    if state in CONFLICTS or state == _LOCK_NOT_AVAILABLE:
        return errors.Aborted(retry_after_s=0.1)
    if state == _QUERY_CANCELED:
        return errors.DeadlineExceeded("the database did not finish in time")
    return errors.StoreUnreachable(retry_after_s=1) if is_lost(exc) else None


def is_lost(exc: Exception) -> bool:
    """Whether the connection is gone."""
    original = exc.orig if isinstance(exc, DBAPIError) else exc
    if not isinstance(original, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    state = original.sqlstate
    return state is None or state.startswith("08") or state in _CONNECTION_ENDED
