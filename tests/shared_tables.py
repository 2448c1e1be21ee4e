"""The shared tables in a database of a test that needs no more than these."""

import psycopg

from shared.migrations.start import SHARED_TABLES


def create_shared_tables(url: str) -> None:
    """Create them as the first revision of a silo does."""
    with psycopg.connect(url) as connection:
        for statement in SHARED_TABLES:
            connection.execute(statement.encode())
