"""The fixtures keep what they promise to all other tests."""

from collections.abc import Callable

import psycopg
import pytest
import redis

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
