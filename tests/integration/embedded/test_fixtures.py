"""The fixtures keep what they promise to all other tests."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from tests.conftest import TestServers

pytestmark = pytest.mark.integration


def test_databases_of_one_test_are_apart(make_database: Callable[[str | None], str]) -> None:
    first, second = make_database(None), make_database(None)
    with psycopg.connect(first, autocommit=True) as connection:
        connection.execute("CREATE TABLE only_here (i int)")
    with psycopg.connect(second) as connection:
        found = connection.execute("SELECT to_regclass('only_here')").fetchone()
    assert found == (None,)


def test_a_copy_has_the_rows_of_its_template_and_leaves_it_alone(make_database: Callable[[str | None], str]) -> None:
    template = make_database(None)
    with psycopg.connect(template, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS i")
    copy = make_database(template.rpartition("/")[2])
    with psycopg.connect(copy, autocommit=True) as connection:
        assert connection.execute("DELETE FROM kept RETURNING i").fetchall() == [(7,)]
    with psycopg.connect(template) as connection:
        assert connection.execute("SELECT i FROM kept").fetchall() == [(7,)]


def test_database_compares_text_by_bytes(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        row = connection.execute(
            "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("UTF8", "C")


@pytest.mark.parametrize("turn", [1, 2])
def test_key_space_is_empty(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", turn)


def test_own_servers_by_url_serve_the_tests_too(servers: TestServers, tmp_path: Path) -> None:
    """The rest of this file once more in a process that could not start servers itself."""
    environment = os.environ | {
        "SILOWAY_TEST_DATABASE_URL": servers.databases.url("postgres"),
        "SILOWAY_TEST_REDIS_URL": servers.redis_url,
        "SILOWAY_PG_BIN": str(tmp_path),
        "SILOWAY_REDIS_BIN": str(tmp_path),
    }
    inner = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not own_servers", __file__],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert inner.returncode == 0, inner.stdout
    assert "5 passed" in inner.stdout or "....." in inner.stdout
    with psycopg.connect(servers.databases.url("postgres")) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test%'").fetchall()
    assert all(name.startswith(f"test_{servers.mark}_") for (name,) in names)
