"""Whatever row the decoder lets through, a binary COPY takes it and gives it back: no batch fails on data."""

import json
import random
from typing import Any

import psycopg
import pytest

from shared.importing.columns import COLUMNS, Column, Kind
from shared.importing.registry import models
from shared.importing.rows import RowDecoder
from shared.importing.shapes import DecodedRow
from shared.importing.upload import RawRow
from tests.unit.importing.rows_of import NOW

pytestmark = pytest.mark.integration

_ROWS = 4000
_TIMES = [
    "2023-06-22T22:59:55Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-01:00",
    "x",
]
_TEXTS = ["", "é\U0001f600", "\ufffe\uffff", "a\0", "\\u0000", "\ud800", 'q":', "x" * 32, "x" * 129, "\t\n\x7f", "-0"]
_NUMBERS = [0, 1, -1, 2**15 - 1, 2**15, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**40, 1.5]
_ODD: list[Any] = [
    *(None, True, *_TIMES, *_TEXTS, *_NUMBERS, *map(str, _NUMBERS)),
    *(
        {},
        [],
        {"a\0": 1},
        {"": {"é": [1e308, -1e-320, 2**64 - 1, "\\u0000", None]}},
        {"a": 10**30},
        ["\0"],
        {"b": "\ud800"},
    ),
]
_COMMON: dict[Kind, list[Any]] = {
    Kind.TEXT: _TEXTS[:3],
    Kind.INTEGER: [0, 5],
    Kind.BIT_FIELD: ["0", str(2**63 - 1), str(-(2**63))],
    Kind.REFERENCE: [1, 2**63 - 1],
    Kind.BOOLEAN: [True, False],
    Kind.TEXT_ARRAY: [[], ["a", 'é,"'], "['a', 'b']"],
    Kind.DATETIME: _TIMES[:3],
    Kind.JSON: [{"a": [1, 2.5, {"b": None}]}, {"": 2**64 - 1, "t": "\\u0000"}],
}


@pytest.mark.parametrize("model", [name for name in COLUMNS if models()[name].table])
def test_copy_takes_every_row_that_the_decoder_lets_through(model: str, empty_database: str) -> None:
    decoder = RowDecoder(model, NOW)
    dice = random.Random(model)
    raw = [_row(model, ordinal, dice) for ordinal in range(1, _ROWS + 1)]
    decoded = decoder.decode(raw)
    told = {finding.ordinal for finding in decoded.findings}
    assert told.isdisjoint(row.ordinal for row in decoded.rows)
    assert len(told) + len(decoded.rows) == _ROWS
    assert len(told) > _ROWS // 20
    assert len(decoded.rows) > _ROWS // 20
    with psycopg.connect(empty_database) as connection:
        read = _through_postgres(connection, decoder.columns, decoded.rows)
    assert read == [_comparable(decoder.columns, (row.ordinal, row.pk, *row.values)) for row in decoded.rows]


def _row(model: str, ordinal: int, dice: random.Random) -> RawRow:
    columns = COLUMNS[model]
    fields = {column.name: dice.choice(_COMMON[column.kind]) for column in columns}
    for _ in range(dice.choice([0, 0, 1, 1, 2])):
        fields[dice.choice(columns).name] = dice.choice(_ODD)
    pk = dice.choice([ordinal] * 20 + _NUMBERS)
    return RawRow(ordinal, None, ordinal, json.dumps({"model": model, "pk": pk, "fields": fields}).encode())


def _through_postgres(
    connection: "psycopg.Connection[Any]", columns: tuple[Column, ...], rows: list[DecodedRow]
) -> list[tuple[Any, ...]]:
    names = [f'"{column.name}"' for column in columns]
    types = ["int8", "int8", *(column.staged_as for column in columns)]
    defined = ", ".join(f"{name} {kind}" for name, kind in zip(["ordinal", "pk", *names], types, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE staged ({defined})")
        with cursor.copy("COPY staged FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row((row.ordinal, row.pk, *row.values))
        read = [
            f"{name}::jsonb::text" if column.kind is Kind.JSON else name
            for name, column in zip(names, columns, strict=True)
        ]
        cursor.execute("SET TIME ZONE 'UTC'")
        found = cursor.execute(f"SELECT ordinal, pk, {', '.join(read)} FROM staged ORDER BY ordinal").fetchall()
    return [_comparable(columns, row) for row in found]


def _comparable(columns: tuple[Column, ...], row: tuple[Any, ...]) -> tuple[Any, ...]:
    """JSON text as its value, with numbers as floats: jsonb writes 1e308 out."""
    values = (
        json.loads(value, parse_int=float) if column.kind is Kind.JSON and value is not None else value
        for column, value in zip(columns, row[2:], strict=True)
    )
    return (*row[:2], *values)
