"""Brings the control silo's database to the newest revision; control has the number 0."""

from pathlib import Path

from shared.clock import Clock, SystemClock
from shared.migrations import migrate

SILO_NAME = "control"
SILO_NUMBER = 0
_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate_database(url: str, *, clock: Clock | None = None) -> None:
    """Migrate the database. Raises WrongSilo when it is another silo's, StoreUnreachable when there is none."""
    migrate(url, script_location=_MIGRATIONS, name=SILO_NAME, number=SILO_NUMBER, clock=clock or SystemClock())
