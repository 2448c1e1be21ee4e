"""Brings a silo's database to the newest revision, under a lock, and writes down whose database it is.

One SELECT decides whether anything is to be done; alembic (0.3 s to load) is imported only then. All missing revisions and
the identity's row are one transaction: a failed migration leaves nothing. A revision's id is the four digits
that its file's name begins with.
"""

import re
from pathlib import Path
from typing import cast

import psycopg
from sqlalchemy import Connection, NullPool, create_engine, text

from shared import errors
from shared.clock import Clock
from shared.database import driver_url
from shared.identity import write_identity

_LOCK_KEY = 0x5110AA  # any constant: two migrators of one database take turns on it
_REVISION_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.py")


def migrate(database_url: str, *, script_location: Path, name: str, number: int, clock: Clock) -> None:
    """Upgrade the database to the newest revision of `script_location`, as the silo `name` with `number`.

    Raises WrongSilo (and changes nothing) when the database was migrated as another silo, StoreUnreachable when there is
    none. May run in several processes at once.
    """
    head = head_revision(script_location)
    try:
        with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
            if is_current(connection, head, name, number):
                return
    except psycopg.OperationalError as exc:
        raise errors.StoreUnreachable("the database to migrate cannot be reached") from exc
    engine = create_engine(driver_url(database_url), poolclass=NullPool)
    try:
        with engine.begin() as locked:
            locked.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            driver = cast("psycopg.Connection[tuple[object, ...]]", locked.connection.driver_connection)
            if not is_current(driver, head, name, number):
                _upgrade(locked, script_location)
                write_identity(locked, name, number, clock.now())
    finally:
        engine.dispose()


def head_revision(script_location: Path) -> str:
    """The newest revision's id, by the names of the files alone."""
    files = (_REVISION_FILE.fullmatch(path.name) for path in (script_location / "versions").iterdir())
    return max(file.group(1) for file in files if file)


def is_current(connection: "psycopg.Connection[tuple[object, ...]]", head: str, name: str, number: int) -> bool:
    """Whether nothing is to be done. Raises WrongSilo when the database is another silo's."""
    row = connection.execute("SELECT to_regclass('alembic_version'), to_regclass('silo_identity')").fetchone()
    if row is None or None in row:
        return False
    row = connection.execute(
        "SELECT version_num, name, number FROM alembic_version LEFT JOIN silo_identity ON true"
    ).fetchone()
    if row is None:
        return False
    if row[1] is not None and row[1:] != (name, number):
        raise errors.WrongSilo(
            f"the database is of silo {row[1]} with number {row[2]}, not {name} with {number}",
            metadata={"database_silo": str(row[1]), "silo": name},
        )
    return row[0] == head and row[1] is not None


def _upgrade(connection: Connection, script_location: Path) -> None:
    from alembic import command  # noqa: PLC0415 - only a migration pays for loading it
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
