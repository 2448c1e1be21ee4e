"""Databases from migrated templates belong to the silo that they were asked for."""

from collections.abc import Callable

import psycopg
import pytest

pytestmark = pytest.mark.integration


def _identity(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT name, number FROM silo_identity").fetchone()


def test_each_database_knows_its_silo(
    control_database_url: str, region_database_url: str, make_region_database: Callable[[str, int], str]
) -> None:
    assert _identity(control_database_url) == ("control", 0)
    assert _identity(region_database_url) == ("us", 1)
    assert _identity(make_region_database("de", 2)) == ("de", 2)


def test_two_databases_of_one_region_are_apart(make_region_database: Callable[[str, int], str]) -> None:
    assert make_region_database("us", 1) != make_region_database("us", 1)
