"""Statements of hot paths: made once, prepared on each connection, and run by the driver's lowest layer.

For a single row SQLAlchemy and the driver's cursors cost more than the row, and they let go of the interpreter several
times for it. So what calls run again and again is a Statement: SQLAlchemy writes its text, one call of libpq runs it.
All else is executed as usual, in the same transactions. Values go as text: the statement must say their types where
PostgreSQL cannot tell them. A statement that failed is prepared anew.
"""

import itertools
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias

import psycopg
from psycopg import abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import psycopg as dialects
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement

Driver: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

_DIALECT: Final = dialects.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_NUMBERS: Final = itertools.count()

FORGOTTEN: Final = "26000"
"""The driver makes the server forget all prepared statements when it sees objects dropped or a savepoint undone. Inside
a transaction that is a conflict: the work is run again.
"""


class _Compiled(NamedTuple):
    """The text with $1, $2, ..., the names that these stand for, and the values of names that nobody gives."""

    sql: bytes
    names: tuple[str, ...]
    known: Mapping[str, object]
    formats: tuple[PyFormat, ...]


class Prepared(NamedTuple):
    """A statement as one connection knows it."""

    name: bytes
    types: abc.Transformer


Kept: TypeAlias = "dict[Statement, Prepared]"
"""What one connection has prepared; it lives as long as the connection."""


class Statement:
    """One SQL statement with named parameters: text that says `:name`, or what SQLAlchemy has built.

    Made with its module or by a cached function, never for one call.
    """

    def __init__(self, made_of: str | ClauseElement) -> None:
        self._made_of = text(made_of) if isinstance(made_of, str) else made_of
        self._row: Callable[[Iterable[Any]], Any] | None = None

    def one(self, driver: Driver, kept: Kept, values: Mapping[str, object]) -> Any:
        """The one row as a named tuple of its columns, None without one. Two rows are a programmer's error.

        Raises DBAPIError, as SQLAlchemy does; so does `run`.
        """
        result, types = self._execute(driver, kept, values)
        assert result.ntuples <= 1, "a statement of one row found more"
        if not result.ntuples:
            return None
        if self._row is None:
            columns = [(result.fname(place) or b"").decode() for place in range(result.nfields)]
            self._row = namedtuple("Row", columns)._make  # type: ignore[attr-defined]  # names that are not known here
        types.set_pgresult(result)
        return types.load_row(0, self._row)

    def run(self, driver: Driver, kept: Kept, values: Mapping[str, object]) -> int:
        """Execute it; how many rows it found or changed."""
        return self._execute(driver, kept, values)[0].command_tuples or 0

    def _execute(self, driver: Driver, kept: Kept, values: Mapping[str, object]) -> tuple[PGresult, abc.Transformer]:
        sql, names, known, formats = self._compiled
        try:
            prepared = kept.get(self)
            if prepared is None:
                prepared = kept[self] = Prepared(f"siloway_{next(_NUMBERS)}".encode(), Transformer(driver))
                checked(driver.pgconn.prepare(prepared.name, sql))
            given = [values[name] if name in values else known[name] for name in names]
            dumped: Any = prepared.types.dump_sequence(given, formats)  # None is NULL, which its type does not know
            return checked(driver.pgconn.exec_prepared(prepared.name, dumped)), prepared.types
        except psycopg.Error as exc:
            kept.pop(self, None)
            if exc.sqlstate == FORGOTTEN:
                kept.clear()
                if driver.pgconn.transaction_status == TransactionStatus.IDLE:  # outside of a transaction
                    return self._execute(driver, kept, values)
            raise DBAPIError.instance(sql.decode(), None, exc, psycopg.Error, hide_parameters=True) from exc

    @cached_property
    def _compiled(self) -> _Compiled:
        compiled: Any = self._made_of.compile(dialect=_DIALECT)
        asked = {name for bind, name in compiled.bind_names.items() if bind.required}
        expanded = compiled.construct_expanded_state(dict.fromkeys(asked))  # writes the lists of IN out
        names = tuple(expanded.positiontup or ())
        known = {name: value for name, value in expanded.parameters.items() if name not in asked}
        return _Compiled(expanded.statement.encode(), names, known, (PyFormat.TEXT,) * len(names))


def command(driver: Driver, sql: bytes) -> None:
    """Run commands without parameters and rows, like BEGIN. Raises what the driver raises."""
    checked(driver.pgconn.exec_(sql))


def checked(result: PGresult) -> PGresult:
    """A good result; raises what a bad one tells, OperationalError when the connection broke."""
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    error = psycopg.errors.error_from_result(result)
    raise error if error.sqlstate else psycopg.OperationalError("the connection to the database broke")
