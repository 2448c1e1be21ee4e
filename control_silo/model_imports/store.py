"""SQL of control's side of imports: the chunks that stand, and the answers that they gave."""

from collections.abc import Sequence
from dataclasses import asdict

import msgspec
from sqlalchemy import text

from shared.database import Transaction
from shared.importing.decisions import BatchFinding, Counts, LedgerRow
from shared.importing.handover import HandedAnswer, HandedBatch, KnownRow

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
_OVERLAPPING = (
    "FROM import_chunk WHERE import_id = :import_id AND model = :model"
    " AND first_ordinal <= :last_ordinal AND last_ordinal >= :first_ordinal ORDER BY first_ordinal"
)
_LOCK = text(f"SELECT 1 {_OVERLAPPING} FOR UPDATE")
_CHUNKS = text(f"SELECT first_ordinal, last_ordinal, counts, findings {_OVERLAPPING}")
_DECISIONS = text(
    "SELECT decision, count(*) AS rows FROM import_row WHERE import_id = :import_id AND model = :model"
    " AND ordinal BETWEEN :first_ordinal AND :last_ordinal AND ordinal = ANY(CAST(:ordinals AS int8[]))"
    " GROUP BY decision"
)
_STANDING = text(
    "SELECT ordinal FROM import_row WHERE import_id = :import_id AND model = :model"
    " AND ordinal = ANY(CAST(:ordinals AS int8[]))"
)
_REPLACE = text(
    "UPDATE import_chunk SET counts = CAST(:counts AS jsonb), findings = CAST(:findings AS jsonb)"
    " WHERE import_id = :import_id AND model = :model AND first_ordinal = :first_ordinal"
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
        "counts": _json(asdict(counts)),
        "findings": _json(list(findings)),
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


def lock_chunks(transaction: Transaction, import_id: int, model: str, first_ordinal: int, last_ordinal: int) -> None:
    """Let one at a time try rows of these chunks again."""
    span = {"import_id": import_id, "model": model, "first_ordinal": first_ordinal, "last_ordinal": last_ordinal}
    transaction.execute(_LOCK, span)


def replace_findings(
    transaction: Transaction, import_id: int, model: str, ordinals: Sequence[int], findings: Sequence[BatchFinding]
) -> None:
    """These rows were tried again, with these findings; counts of their chunks follow."""
    if not ordinals:
        return
    tried = frozenset(ordinals)
    span = {"import_id": import_id, "model": model, "first_ordinal": ordinals[0], "last_ordinal": ordinals[-1]}
    for chunk in transaction.execute(_CHUNKS, span).all():
        place = range(chunk.first_ordinal, chunk.last_ordinal + 1)
        stored = msgspec.convert(chunk.findings, list[BatchFinding])
        kept = [each for each in stored if each.ordinal not in tried]
        new = [each for each in findings if each.ordinal in place]
        in_chunk = [ordinal for ordinal in ordinals if ordinal in place]
        counts = counts_of(transaction, import_id, model, in_chunk)
        parameters = {
            **span,
            "first_ordinal": chunk.first_ordinal,
            "counts": _json(asdict(Counts(**chunk.counts).tried_again(len(in_chunk), counts))),
            "findings": _json(sorted([*kept, *new], key=lambda each: each.ordinal)),
        }
        transaction.execute(_REPLACE, parameters)


def counts_of(transaction: Transaction, import_id: int, model: str, ordinals: Sequence[int]) -> Counts:
    """How many of these rows stand in the ledger, by decision; `ordinals` ascend. The others count as skipped."""
    if not ordinals:
        return Counts()
    span = {"import_id": import_id, "model": model, "first_ordinal": ordinals[0], "last_ordinal": ordinals[-1]}
    rows = transaction.execute(_DECISIONS, {**span, "ordinals": list(ordinals)}).all()
    return Counts.of({row.decision: row.rows for row in rows}, len(ordinals))


def answer(transaction: Transaction, batch: HandedBatch) -> HandedAnswer:
    """What became of the batch's rows, as it was stored: of those alone, for there may be others between them."""
    ordinals = [row.ordinal for row in batch.rows]
    span = {
        "import_id": batch.import_id,
        "model": batch.model,
        "first_ordinal": batch.first_ordinal,
        "last_ordinal": batch.last_ordinal,
    }
    wanted = frozenset(ordinals)
    findings = [
        finding
        for (stored,) in transaction.execute(_FINDINGS, span)
        for finding in msgspec.convert(stored, list[BatchFinding])
        if finding.ordinal in wanted
    ]
    if batch.without_rows:
        return HandedAnswer((), findings, counted=counts_of(transaction, batch.import_id, batch.model, ordinals))
    rows = map(LedgerRow._make, transaction.execute(_ROWS, span))
    return HandedAnswer([row for row in rows if row.ordinal in wanted], findings)


def standing(transaction: Transaction, batch: HandedBatch) -> frozenset[int]:
    """The ordinals of those of the batch's rows that stand in the ledger."""
    ordinals = [row.ordinal for row in batch.rows]
    parameters = {"import_id": batch.import_id, "model": batch.model, "ordinals": ordinals}
    return frozenset(transaction.execute(_STANDING, parameters).scalars())


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
