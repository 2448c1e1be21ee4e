"""Statements of hot paths: made once, prepared on each connection, and run by the driver's lowest layer.

For a single row SQLAlchemy and the driver's cursors cost more than the row, and they let go of the interpreter several
times for it. So what calls run again and again is a Statement: SQLAlchemy writes its text, one call of libpq runs it.
All else is executed as usual, in the same transactions. Values go as text: the statement must say their types where
PostgreSQL cannot tell them. A statement that failed is prepared anew.

Several can go `together`, for one wait: each wait costs both sides a change of process, and this one the interpreter.
libpq's pipelines would do that too, but let go of the interpreter for every statement: they cost more than they save.
"""

import itertools
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias, cast

import psycopg
from psycopg import abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Escaping, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import PoolProxiedConnection, text
from sqlalchemy.dialects.postgresql import psycopg as dialects
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement

Driver: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

_DIALECT: Final = dialects.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_NUMBERS: Final = itertools.count()
_TEXT_BYTES_MAX: Final = 256 * 1024

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
        return self.row_of(self._execute(driver, kept, values), kept)

    def run(self, driver: Driver, kept: Kept, values: Mapping[str, object]) -> int:
        """Execute it; how many rows it found or changed."""
        return self._execute(driver, kept, values).command_tuples or 0

    def row_of(self, result: PGresult, kept: Kept) -> Any:
        """What `one` gives, of this statement's result over the connection of `kept`."""
        assert result.ntuples <= 1, "a statement of one row found more"
        if not result.ntuples:
            return None
        if self._row is None:
            columns = [(result.fname(place) or b"").decode() for place in range(result.nfields)]
            self._row = namedtuple("Row", columns)._make  # type: ignore[attr-defined]  # names that are not known here
        types = kept[self].types
        types.set_pgresult(result)
        return types.load_row(0, self._row)

    def bound(self, driver: Driver, kept: Kept, values: Mapping[str, object]) -> tuple[bytes, Sequence[Any]]:
        """Its name over this connection, where it is prepared when it is not yet, and its values as they are sent."""
        sql, names, known, formats = self._compiled
        prepared = kept.get(self)
        if prepared is None:
            prepared = kept[self] = Prepared(f"siloway_{next(_NUMBERS)}".encode(), Transformer(driver))
            checked(driver.pgconn.prepare(prepared.name, sql))
        given = [values[name] if name in values else known[name] for name in names]
        return prepared.name, prepared.types.dump_sequence(given, formats)  # None is NULL, which its type does not know

    def failure(self, exc: psycopg.Error, kept: Kept) -> DBAPIError:
        """What to raise when the driver says so of this statement."""
        kept.pop(self, None)
        if exc.sqlstate == FORGOTTEN:
            kept.clear()
        raised = DBAPIError.instance(self._compiled.sql.decode(), None, exc, psycopg.Error, hide_parameters=True)
        return cast("DBAPIError", raised)

    def _execute(self, driver: Driver, kept: Kept, values: Mapping[str, object]) -> PGresult:
        try:
            return checked(driver.pgconn.exec_prepared(*self.bound(driver, kept, values)))
        except psycopg.Error as exc:
            failure = self.failure(exc, kept)
            if exc.sqlstate == FORGOTTEN and driver.pgconn.transaction_status == TransactionStatus.IDLE:
                return self._execute(driver, kept, values)  # outside of a transaction
            raise failure from exc

    @cached_property
    def _compiled(self) -> _Compiled:
        compiled: Any = self._made_of.compile(dialect=_DIALECT)
        asked = {name for bind, name in compiled.bind_names.items() if bind.required}
        expanded = compiled.construct_expanded_state(dict.fromkeys(asked))  # writes the lists of IN out
        names = tuple(expanded.positiontup or ())
        known = {name: value for name, value in expanded.parameters.items() if name not in asked}
        return _Compiled(expanded.statement.encode(), names, known, (PyFormat.TEXT,) * len(names))


_Bound: TypeAlias = tuple[bytes, Sequence[Any]]
Asked: TypeAlias = tuple[Statement, Mapping[str, object]]
"""A statement with its values."""


def together(driver: Driver, kept: Kept, commands: Sequence[bytes | Asked]) -> PGresult:
    """Execute commands without values, like BEGIN, and statements in this order; the result of the last.

    They are sent as one text, in which libpq has quoted the values, and awaited once; with large values each is sent by
    itself. They must stand in one transaction, BEGIN and COMMIT included: behind one that fails none is executed. The
    server's own log shows the text of one that fails, values included. Raises DBAPIError.
    """
    asked = [each[0] for each in commands if not isinstance(each, bytes)]
    try:
        bound = [each if isinstance(each, bytes) else each[0].bound(driver, kept, each[1]) for each in commands]
        if sum(map(_size, bound)) <= _TEXT_BYTES_MAX:
            quote = Escaping(driver.pgconn).escape_literal
            return checked(driver.pgconn.exec_(b"; ".join([_text(each, quote) for each in bound])))
        for each in bound:
            result = driver.pgconn.exec_(each) if isinstance(each, bytes) else driver.pgconn.exec_prepared(*each)
            checked(result)
        return result
    except psycopg.Error as exc:
        failures = [statement.failure(exc, kept) for statement in asked]
        if not failures:
            raise DBAPIError.instance("", None, exc, psycopg.Error, hide_parameters=True) from exc
        raise failures[-1] from exc


def _size(command: bytes | _Bound) -> int:
    return 0 if isinstance(command, bytes) else sum([len(value) for value in command[1] if value is not None])


def _text(command: bytes | _Bound, quote: Callable[[abc.Buffer], abc.Buffer]) -> bytes:
    if isinstance(command, bytes):
        return command
    name, values = command
    if not values:
        return b"EXECUTE " + name
    return b"EXECUTE %b (%b)" % (name, b", ".join([b"NULL" if each is None else quote(each) for each in values]))


def driver_of(pooled: PoolProxiedConnection) -> Driver:
    """The driver's connection below SQLAlchemy's."""
    return cast("Driver", pooled.driver_connection)


def command(driver: Driver, sql: bytes) -> None:
    """Run commands without parameters and rows, like BEGIN. Raises what the driver raises."""
    checked(driver.pgconn.exec_(sql))


def checked(result: PGresult) -> PGresult:
    """A good result; raises what a bad one tells, OperationalError when the connection broke."""
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    error = psycopg.errors.error_from_result(result)
    raise error if error.sqlstate else psycopg.OperationalError("the connection to the database broke")
