"""A database is migrated once, by one, and belongs to one silo for good."""

import subprocess
import sys
import threading

import psycopg
import pytest

from control_silo import migrate as control_migrate
from shared import errors
from shared.database import Database
from shared.identity import check_identity, read_identity
from shared.schema import METADATA
from tests.clock import FakeClock

pytestmark = pytest.mark.integration


def test_a_migrated_database_knows_its_silo(control_database_url: str, region_database_url: str) -> None:
    for url, name, number in ((control_database_url, "control", 0), (region_database_url, "us", 1)):
        database = Database.open(url, clock=FakeClock())
        identity = check_identity(database, name, number)
        assert len(identity.epoch) == 36
        for wrong in (("de", number), (name, 7)):
            with pytest.raises(errors.WrongSilo):
                check_identity(database, *wrong)
        database.close()


def test_another_silo_cannot_migrate_the_database(control_database_url: str) -> None:
    from region_silo.migrate import migrate_database

    with pytest.raises(errors.WrongSilo) as refusal:
        migrate_database(control_database_url, "us", 1)
    assert refusal.value.metadata == {"database_silo": "control", "silo": "us"}


def test_a_database_without_identity_is_of_no_silo(empty_database: str) -> None:
    control_migrate.migrate_database(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute("DELETE FROM silo_identity")
    database = Database.open(empty_database, clock=FakeClock())
    with pytest.raises(errors.WrongSilo):
        database.read(read_identity)
    database.close()


def test_two_migrators_take_turns(empty_database: str) -> None:
    failures: list[BaseException] = []

    def migrate() -> None:
        try:
            control_migrate.migrate_database(empty_database)
        except BaseException as exc:  # noqa: BLE001 - the thread's failure is the test's
            failures.append(exc)

    # alembic itself is not made for two threads of one process, so the second migrator is a process.
    script = "import sys; from control_silo.migrate import migrate_database; migrate_database(sys.argv[1])"
    child = subprocess.Popen([sys.executable, "-c", script, empty_database])
    thread = threading.Thread(target=migrate)
    thread.start()
    thread.join(60)
    assert child.wait(60) == 0
    assert failures == []
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(*) FROM silo_identity").fetchone() == (1,)


def test_a_current_database_is_recognised_without_loading_alembic(control_database_url: str) -> None:
    script = (
        "import sys; from control_silo.migrate import migrate_database; migrate_database(sys.argv[1]);"
        " assert 'alembic' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script, control_database_url], check=False).returncode == 0


def test_a_failed_migration_leaves_nothing(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import shared.migrations

    def fail(*arguments: object) -> None:
        raise RuntimeError("made up")

    monkeypatch.setattr(shared.migrations, "write_identity", fail)
    with pytest.raises(RuntimeError):
        control_migrate.migrate_database(empty_database)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('outbox_message')").fetchone() == (None,)


def test_a_missing_server_is_unreachable() -> None:
    with pytest.raises(errors.StoreUnreachable):
        control_migrate.migrate_database("postgresql://nobody@127.0.0.1:1/none")


def test_the_shared_tables_are_what_the_queries_take_them_for(control_database_url: str) -> None:
    with psycopg.connect(control_database_url) as connection:
        for table in METADATA.tables.values():
            rows = connection.execute(
                "SELECT column_name, is_nullable = 'YES' FROM information_schema.columns"
                " WHERE table_name = %s ORDER BY ordinal_position",
                [table.name],
            ).fetchall()
            assert rows == [(column.name, bool(column.nullable)) for column in table.columns], table.name


def test_every_constraint_is_named_after_its_table(control_database_url: str) -> None:
    with psycopg.connect(control_database_url) as connection:
        names = connection.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE conrelid::regclass::text = ANY(%s)",
            [list(METADATA.tables)],
        ).fetchall()
    assert len(names) >= len(METADATA.tables)
    assert all(name.startswith(table) for table, name in names)
