"""Statements of hot paths: made once, and run by the driver itself.

For a single row SQLAlchemy's work costs more than the row. So what calls run again and again is a Statement: SQLAlchemy
writes its text, the driver prepares it on each connection and reads its rows. All else is executed as usual, in the
same transactions.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import cached_property
from typing import Any, Final, TypeAlias

import psycopg
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import psycopg as dialects
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement

Driver: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"
Cursor: TypeAlias = "psycopg.Cursor[tuple[Any, ...]]"

_DIALECT: Final = dialects.dialect()  # type: ignore[no-untyped-call]


class Statement:
    """One SQL statement with named parameters: text that says `:name`, or what SQLAlchemy has built.

    Made with its module or by a cached function, never for one call.
    """

    def __init__(self, made_of: str | ClauseElement) -> None:
        self._made_of = text(made_of) if isinstance(made_of, str) else made_of
        self._row: Callable[[Iterable[Any]], Any] | None = None

    def one(self, cursor: Cursor, values: Mapping[str, object]) -> Any:
        """The one row as a named tuple of its columns, None without one. Two rows are a programmer's error.

        Raises DBAPIError, as SQLAlchemy does; so does `run`.
        """
        self.run(cursor, values)
        assert cursor.rowcount <= 1, "a statement of one row found more"
        row = cursor.fetchone()
        if row is None:
            return None
        if self._row is None:
            columns = [column.name for column in cursor.description or ()]
            self._row = namedtuple("Row", columns)._make  # type: ignore[attr-defined]  # names that are not known here
        return self._row(row)

    def run(self, cursor: Cursor, values: Mapping[str, object]) -> int:
        """Execute it; how many rows it found or changed."""
        sql, known = self._compiled
        try:
            cursor.execute(sql, {**known, **values})
        except psycopg.Error as exc:
            raise DBAPIError.instance(sql.decode(), None, exc, psycopg.Error, hide_parameters=True) from exc
        return cursor.rowcount

    @cached_property
    def _compiled(self) -> tuple[bytes, dict[str, object]]:
        """The text, and the parameters that have their values in it."""
        compiled: Any = self._made_of.compile(dialect=_DIALECT)
        asked = {name for bind, name in compiled.bind_names.items() if bind.required}
        expanded = compiled.construct_expanded_state(dict.fromkeys(asked))  # lists of IN are written out
        known = {name: value for name, value in expanded.parameters.items() if name not in asked}
        return expanded.statement.encode(), known


def cursor_of(statement: Statement, driver: Driver, kept: MutableMapping[Any, Any]) -> Cursor:
    """The connection's own cursor for the statement: it knows the types already. `kept` lives with the connection."""
    cursor: Cursor | None = kept.get(statement)
    if cursor is None:
        cursor = kept[statement] = driver.cursor()
    return cursor
