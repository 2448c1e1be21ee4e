"""Rows of an import as its ledger names them and as they stand now, in the form in which an export would have them.

They are read in short pages by their pk in the file, each a transaction of its own, so that nobody who reads slowly
holds one open. Of a row that was there before the import nothing is read but that it is still there: what it holds is
none of the importer's.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shared.database import Database, Transaction
from shared.exporting.readings import Reading, json_of
from shared.importing.decisions import Decision

_PAGE_ROWS = 500
_PAGE_BYTES = 8 << 20


class ImportedRow(NamedTuple):
    """One row of the ledger. `fields` is its JSON object; empty for a merged row, and for one that does not stand."""

    ordinal: int
    old_pk: int
    new_pk: int
    decision: int
    stands: bool
    fields: bytes


def select_imported(reading: Reading, replaced: Mapping[str, str] | None = None) -> str:
    """The statement that reads a page of a model's rows; `replaced` gives fields other values (SQL).

    Parameters: import_id, after (the last pk in the file of the page before), rows_max, bytes_max.
    """
    fields = json_of(reading, replaced or {})
    where = "".join(f" AND {each}" for each in reading.where)
    read = (
        "SELECT l.ordinal, l.old_pk, l.new_pk, l.decision, t.id IS NOT NULL AS stands,"
        f" CASE WHEN l.decision <> {Decision.MERGE:d} AND t.id IS NOT NULL THEN {fields} ELSE '' END AS fields"
        " FROM (SELECT ordinal, old_pk, new_pk, decision FROM import_row WHERE import_id = %(import_id)s"
        f" AND model = '{reading.model}' AND old_pk > %(after)s ORDER BY old_pk LIMIT %(rows_max)s) l"
        f" LEFT JOIN {reading.table} t ON t.id = l.new_pk{where}"
    )
    size = "octet_length(r.fields)"
    summed = f"SELECT r.*, sum({size}) OVER (ORDER BY old_pk) - {size} AS before FROM ({read}) r"
    return (
        f"SELECT ordinal, old_pk, new_pk, decision, stands, fields FROM ({summed}) s"
        " WHERE before < %(bytes_max)s ORDER BY old_pk"
    )


def imported_rows(database: Database, statement: str, import_id: int) -> Iterator[list[ImportedRow]]:
    """All rows of a statement of `select_imported`, in pages that are not empty, by their pk in the file."""
    after = 0

    def work(transaction: Transaction) -> list[ImportedRow]:
        parameters = {
            "import_id": import_id,
            "after": after,
            "rows_max": _PAGE_ROWS,
            "bytes_max": _PAGE_BYTES,
        }
        rows = transaction.driver.execute(statement.encode(), parameters).fetchall()
        return [ImportedRow(row[0], row[1], row[2], row[3], row[4], row[5].encode()) for row in rows]

    while page := database.read(work):
        after = page[-1].old_pk
        yield page
