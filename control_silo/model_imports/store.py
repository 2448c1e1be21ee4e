"""SQL of control's side of imports: the chunks that stand, and the answers that they gave."""

from collections.abc import Sequence
from dataclasses import asdict

import msgspec
from sqlalchemy import text

from shared.database import Transaction
from shared.importing.decisions import BatchFinding, Counts, LedgerRow
from shared.importing.handover import HandedAnswer, KnownRow

_COVERED = text(
    "SELECT COALESCE(max(last_ordinal), 0) FROM import_chunk WHERE import_id = :import_id AND model = :model"
)
_INSERT_CHUNK = text(
    "INSERT INTO import_chunk (import_id, model, first_ordinal, last_ordinal, counts, findings, created_at)"
    " VALUES (:import_id, :model, :first_ordinal, :last_ordinal, CAST(:counts AS jsonb), CAST(:findings AS jsonb),"
    " :now)"
    " ON CONFLICT DO NOTHING"
)
_KEEP_KNOWN = text(
    "INSERT INTO import_row (import_id, model, old_pk, new_pk, decision, ordinal)"
    " SELECT :import_id, known.model, known.old_pk, known.new_pk, 0, 0"
    " FROM unnest(CAST(:models AS text[]), CAST(:old_pks AS int8[]), CAST(:new_pks AS int8[]))"
    " AS known (model, old_pk, new_pk) ON CONFLICT DO NOTHING"
)
_FINDINGS = text(
    "SELECT findings FROM import_chunk WHERE import_id = :import_id AND model = :model"
    " AND first_ordinal <= :last_ordinal AND last_ordinal >= :first_ordinal ORDER BY first_ordinal"
)
_ROWS = text(
    "SELECT ordinal, old_pk, new_pk, decision, suffixed FROM import_row WHERE import_id = :import_id"
    " AND model = :model AND ordinal BETWEEN :first_ordinal AND :last_ordinal ORDER BY ordinal"
)


def covered(transaction: Transaction, import_id: int, model: str) -> int:
    """The last ordinal of the model that stands in a chunk; chunks have no gaps, so all before it stand too."""
    return int(transaction.execute(_COVERED, {"import_id": import_id, "model": model}).scalar_one())


def insert_chunk(
    transaction: Transaction,
    import_id: int,
    model: str,
    *,
    first_ordinal: int,
    last_ordinal: int,
    counts: Counts,
    findings: Sequence[BatchFinding],
) -> bool:
    """Record that these rows are done; False when another call has done so."""
    parameters = {
        "import_id": import_id,
        "model": model,
        "first_ordinal": first_ordinal,
        "last_ordinal": last_ordinal,
        "counts": msgspec.json.encode(asdict(counts)).decode(),
        "findings": msgspec.json.encode(list(findings)).decode(),
        "now": transaction.now,
    }
    return bool(transaction.execute(_INSERT_CHUNK, parameters).rowcount)


def keep_known(transaction: Transaction, import_id: int, known: Sequence[KnownRow]) -> None:
    """Enter into control's pk map what the region has written; ordinal 0 says that the rows are not control's."""
    if known:
        parameters = {
            "import_id": import_id,
            "models": [each.model for each in known],
            "old_pks": [each.old_pk for each in known],
            "new_pks": [each.new_pk for each in known],
        }
        transaction.execute(_KEEP_KNOWN, parameters)


def answer(transaction: Transaction, import_id: int, model: str, first_ordinal: int, last_ordinal: int) -> HandedAnswer:
    """What became of these rows, as it was stored."""
    span = {"import_id": import_id, "model": model, "first_ordinal": first_ordinal, "last_ordinal": last_ordinal}
    stored = [
        finding
        for (findings,) in transaction.execute(_FINDINGS, span)
        for finding in msgspec.convert(findings, list[BatchFinding])
        if first_ordinal <= finding.ordinal <= last_ordinal
    ]
    return HandedAnswer([LedgerRow(*tuple(row)) for row in transaction.execute(_ROWS, span)], stored)
