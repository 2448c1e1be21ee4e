"""Counts the SQL statements that go to a database, so that a promise about their number can be tested."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from shared.statements import Driver, Kept, Statement

_NOT_COUNTED = (b"BEGIN", b"SET ")
Place = tuple[str | None, int | None, str | None]


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that are executed meanwhile, by whatever thread; BEGIN, COMMIT and COPY are not among them.

    They are taken where all of them pass: at the driver's cursors, and where a Statement goes around these.
    """
    statements: list[str] = []
    execute, bound = psycopg.Cursor.execute, Statement.bound

    def note(cursor: Any, query: Any, *rest: Any, **options: Any) -> Any:
        text = query if isinstance(query, bytes) else query.encode()
        if not text.startswith(_NOT_COUNTED) and _place(cursor.connection) == place:
            statements.append(text.decode())
        return execute(cursor, query, *rest, **options)

    def note_direct(statement: Statement, driver: Driver, kept: Kept, values: Mapping[str, object]) -> Any:
        if _place(driver) == place:
            statements.append(statement._compiled.sql.decode())
        return bound(statement, driver, kept, values)

    place = (engine.url.host, engine.url.port, engine.url.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", note)
        patch.setattr(Statement, "bound", note_direct)
        yield statements


def _place(driver: Driver) -> Place:
    return (driver.info.host, driver.info.port, driver.info.dbname)
