"""Counts the SQL statements that go to a database, so that a promise about their number can be tested."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

_NOT_COUNTED = (b"BEGIN", b"SET ")


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that are executed meanwhile, by whatever thread; BEGIN, COMMIT and COPY are not among them.

    They are taken where all of them pass, SQLAlchemy's and the driver's own.
    """
    statements: list[str] = []
    execute = psycopg.Cursor.execute

    def note(cursor: Any, query: Any, *rest: Any, **options: Any) -> Any:
        text = query if isinstance(query, bytes) else query.encode()
        if not text.startswith(_NOT_COUNTED) and _place(cursor.connection) == place:
            statements.append(text.decode())
        return execute(cursor, query, *rest, **options)

    place = (engine.url.host, engine.url.port, engine.url.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", note)
        yield statements


def _place(connection: "psycopg.Connection[Any]") -> tuple[str, int, str]:
    return (connection.info.host, connection.info.port, connection.info.dbname)
