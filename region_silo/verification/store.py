"""SQL of a verification: what became of rows that others refer to, and what was told of rows that were written."""

from collections.abc import Collection, Mapping

from sqlalchemy import text

from region_silo.imports import chunk_store
from shared.database import Transaction

# As the index import_finding_warning_idx has it.
_WARNINGS = text(
    """
    SELECT ordinal, kind, field FROM import_finding
    WHERE import_id = :import_id AND model = :model AND severity = 1 AND ordinal = ANY (CAST(:ordinals AS int8[]))
    """
)


def new_pks(
    transaction: Transaction, import_id: int, wanted: Mapping[str, Collection[int]]
) -> dict[tuple[str, int], int]:
    """(model, pk in the file) -> pk here; rows that were not imported are absent."""
    found = chunk_store.known_rows(transaction, import_id, wanted)
    return {(row.model, row.old_pk): row.new_pk for row in found}


def warnings(
    transaction: Transaction, import_id: int, model: str, ordinals: Collection[int]
) -> dict[int, list[tuple[str, str]]]:
    """Kinds and fields of what was told of these rows, by ordinal; rows of which nothing was told are absent."""
    parameters = {"import_id": import_id, "model": model, "ordinals": list(ordinals)}
    found: dict[int, list[tuple[str, str]]] = {}
    for row in transaction.execute(_WARNINGS, parameters):
        found.setdefault(row.ordinal, []).append((row.kind, row.field))
    return found
