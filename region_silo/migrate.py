"""Brings a region silo's database to the newest revision, and binds the database to that region."""

from pathlib import Path

from shared.clock import Clock, SystemClock
from shared.migrations import migrate

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate_database(url: str, name: str, number: int, *, clock: Clock | None = None) -> None:
    """Migrate the database at `url` for the region `name`, whose snowflake ids carry `number` (1 to 31 in layout 2).

    Raises WrongSilo when it is another silo's, StoreUnreachable when it is not there.
    """
    migrate(url, script_location=_MIGRATIONS, name=name, number=number, clock=clock or SystemClock())
