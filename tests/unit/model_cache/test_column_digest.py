from dataclasses import make_dataclass

import pytest

from shared.model_cache import column_digest

COLUMNS = [("id", int), ("slug", str)]


def test_equal_columns_have_equal_digests() -> None:
    assert column_digest(make_dataclass("One", COLUMNS)) == column_digest(make_dataclass("Other", COLUMNS))


@pytest.mark.parametrize("columns", [COLUMNS[:1], [*COLUMNS, ("name", str)], [("id", int), ("slug", bytes)]])
def test_other_columns_have_another_digest(columns: list[tuple[str, type]]) -> None:
    assert column_digest(make_dataclass("One", COLUMNS)) != column_digest(make_dataclass("One", columns))
