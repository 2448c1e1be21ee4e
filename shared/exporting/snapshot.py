"""Reads rows of a snapshot through a cursor of the server, one after the other: memory holds one row and some pks."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from psycopg.abc import Buffer
from psycopg.adapt import Loader

from shared.database import Transaction
from shared.exporting.closure import remember

_ROWS_A_FETCH = 1000
_CURSOR = "export_rows"


class ReadRow(NamedTuple):
    """One row: its pk, what its references hold in the registry's order, its fields as JSON."""

    pk: int
    references: tuple[int | None, ...]
    fields: bytes


def read_rows(
    transaction: Transaction, model: str, statement: str, parameters: Mapping[str, Any], *, remembering: bool
) -> Iterator[ReadRow]:
    """The rows of a statement of readings.select_rows; `remembering` notes their pks for models that look back.

    The transaction is busy between two rows. One such reading at a time.
    """
    driver = transaction.driver
    driver.execute(f"DECLARE {_CURSOR} NO SCROLL CURSOR FOR {statement}".encode(), parameters)
    while True:
        pks: list[int] = []
        with driver.cursor() as cursor:
            cursor.adapters.register_loader("text", _Bytes)
            for pk, *references, fields in cursor.stream(f"FETCH FORWARD {_ROWS_A_FETCH} FROM {_CURSOR}".encode()):
                pks.append(pk)
                yield ReadRow(pk, tuple(references), fields)
        if remembering and pks:
            remember(transaction, model, pks)
        if len(pks) < _ROWS_A_FETCH:
            break
    driver.execute(f"CLOSE {_CURSOR}".encode())


class _Bytes(Loader):
    """Text as its UTF-8 bytes: they go into the file as they are."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)
