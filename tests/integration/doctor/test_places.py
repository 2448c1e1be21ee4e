"""A database that stands in another place than before closes its silo; one that cannot tell its server does not."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from sqlalchemy import text

from shared.clock import SystemClock
from shared.database import Database
from shared.restoration import check_place, restored_at

pytestmark = pytest.mark.integration


@pytest.fixture
def plain_url(control_database_url: str) -> Iterator[str]:
    """The same database for a user that may not ask the server who it is."""
    with psycopg.connect(control_database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain")
        connection.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        parts = urlsplit(control_database_url)
        yield urlunsplit(parts._replace(netloc=f"plain:plain@{parts.netloc.rpartition('@')[2]}"))
        connection.execute("DROP OWNED BY plain")
        connection.execute("DROP ROLE plain")


def opened(url: str) -> Database:
    return Database.open(url, clock=SystemClock())


def place_of(database: Database) -> str:
    return str(database.read(lambda t: t.execute(text("SELECT place FROM silo_identity")).scalar_one()))


def test_a_server_that_is_not_told_neither_stops_a_silo_nor_closes_it(
    control_database_url: str, plain_url: str
) -> None:
    known, plain = opened(control_database_url), opened(plain_url)
    assert not check_place(known)
    server, _, database = place_of(known).partition("/")
    assert server

    assert not check_place(plain)
    assert place_of(plain) == f"{server}/{database}"
    assert plain.read(restored_at) is None
    for each in (known, plain):
        each.close()


def test_another_database_of_the_server_closes_the_silo(control_database_url: str, plain_url: str) -> None:
    known, plain = opened(control_database_url), opened(plain_url)
    known.transact(lambda t: t.execute(text("UPDATE silo_identity SET place = '/1'")))
    assert check_place(plain)
    assert known.read(restored_at) is not None
    assert not check_place(known), "it is said once"
    for each in (known, plain):
        each.close()
