"""SQL of chunks, each the durable record of a written batch, and of the ledger's rows that control wrote."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import msgspec
from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, Table, Text, func, text
from sqlalchemy import insert as sql_insert
from sqlalchemy import select as sql_select
from sqlalchemy.dialects.postgresql import JSONB

from region_silo.imports.domain import DataImport
from region_silo.imports.store import Lease, LeaseLostError, is_held
from region_silo.imports.tables import DATA_IMPORT
from region_silo.schema import METADATA
from shared.database import Transaction
from shared.importing.decisions import Counts, LedgerRow
from shared.importing.handover import KnownRow

IMPORT_CHUNK = Table(
    "import_chunk",
    METADATA,
    Column("import_id", BigInteger, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("first_ordinal", BigInteger, primary_key=True),
    Column("last_ordinal", BigInteger),
    Column("counts", JSONB),
    Column("created_at", DateTime(timezone=True)),
    Column("tries", Integer),
    Column("undone", BigInteger),
    Column("took_s", Float),
)

_COUNTED = ("inserted", "merged", "overwritten", "suffixed", "skipped")

_UNTRIED = text(
    """
    SELECT first_ordinal, last_ordinal, counts FROM import_chunk
    WHERE import_id = :import_id AND model = :model AND tries < :tries ORDER BY first_ordinal LIMIT 1
    """
)
# As the index import_finding_failed_idx has it.
_PASS_OVER = text(
    """
    UPDATE import_chunk AS chunk SET tries = :tries
    WHERE import_id = :import_id AND model = :model AND tries < :tries AND NOT EXISTS (
        SELECT FROM import_finding AS finding
        WHERE finding.import_id = chunk.import_id AND finding.model = chunk.model
            AND finding.ordinal BETWEEN chunk.first_ordinal AND chunk.last_ordinal
            AND (finding.severity = 3 OR finding.kind = 'MISSING_REFERENCE')
    )
    """
)
_KNOWN = text(
    """
    SELECT model, old_pk, new_pk FROM import_row
    WHERE import_id = :import_id AND model = :model AND old_pk = ANY (CAST(:old_pks AS int8[]))
    """
)
_GREATEST = text(
    """
    SELECT wanted.model, (
        SELECT max(old_pk) FROM import_row WHERE import_id = :import_id AND model = wanted.model
    ) AS pk FROM unnest(CAST(:models AS text[])) AS wanted (model)
    """
)
_SET_TRIED = text(
    """
    UPDATE import_chunk SET tries = :tries, counts = CAST(:counts AS jsonb)
    WHERE import_id = :import_id AND model = :model AND first_ordinal = :first_ordinal
    """
)
_SET_ALL_TRIED = text("UPDATE import_chunk SET tries = :tries WHERE import_id = :import_id AND model = :model")
_WRITTEN_SINCE = text(
    """
    SELECT COALESCE(sum(last_ordinal - first_ordinal + 1), 0) FROM import_chunk
    WHERE import_id = :import_id AND created_at >= :since
    """
)


def next_ordinals(transaction: Transaction, import_id: int) -> dict[str, int]:
    """Where each model goes on: the ordinal after its last written chunk. Models without a chunk are absent."""
    last = func.max(IMPORT_CHUNK.c.last_ordinal)
    query = sql_select(IMPORT_CHUNK.c.model, last.label("last")).where(IMPORT_CHUNK.c.import_id == import_id)
    rows = transaction.execute(query.group_by(IMPORT_CHUNK.c.model))
    return {row.model: row.last + 1 for row in rows}


def begin_batch(transaction: Transaction, lease: Lease) -> None:
    """Keep every other process from taking the import until the transaction ends. Raises LeaseLostError.

    Batches of one lease may stand side by side: each of them proves the lease again when it counts its rows, and only
    there they wait for each other. COMMIT returns before a batch is on disk. A crash of the database may then lose the
    last batches: as a whole, chunks and all, and never earlier ones without later ones, so the import goes on where its
    chunks end. The next transaction that waits, as each change of the import's state does, brings all of them to disk.
    """
    transaction.commit_without_waiting()
    held = sql_select(DATA_IMPORT.c.id).where(is_held(lease)).with_for_update(read=True, key_share=True)
    if transaction.execute(held).one_or_none() is None:
        raise LeaseLostError(lease.import_id)


@dataclass(frozen=True)
class Chunk:
    """Rows of one model that are done, from the ordinal `first` to `last`.

    Not `in_ledger`: the region's ledger has none of them, so undoing them is counted here. `took_s`: how long the work
    on them was, that of control too, without the waiting for its turn.
    """

    model: str
    first: int
    last: int
    counts: Counts
    in_ledger: bool = True
    took_s: float = 0.0


def insert_chunk(transaction: Transaction, of_import: DataImport, chunk: Chunk) -> None:
    """Record that the rows are done."""
    values = {
        "import_id": of_import.id,
        "model": chunk.model,
        "first_ordinal": chunk.first,
        "last_ordinal": chunk.last,
        "counts": asdict(chunk.counts),
        "created_at": transaction.now,
        "tries": of_import.tries,
        "undone": None if chunk.in_ledger else 0,
        "took_s": chunk.took_s,
    }
    transaction.execute(sql_insert(IMPORT_CHUNK), values)


def copy_ledger(transaction: Transaction, import_id: int, model: str, rows: Sequence[LedgerRow]) -> None:
    """Enter into the region's pk map what control has written, as far as it has told (see handing)."""
    if not rows:
        return
    columns = "import_id, model, old_pk, new_pk, decision, ordinal, suffixed"
    with (
        transaction.driver.cursor() as cursor,
        cursor.copy(f"COPY import_row ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
    ):
        copy.set_types(("int8", "text", "int8", "int8", "int2", "int8", "text"))
        for ordinal, old_pk, new_pk, decision, suffixed in rows:
            copy.write_row((import_id, model, old_pk, new_pk, decision, ordinal, suffixed))


def known_rows(transaction: Transaction, import_id: int, wanted: Mapping[str, Collection[int]]) -> list[KnownRow]:
    """What the import has made of rows, by model and pk in the file; those without are absent.

    Of control's models only what something refers to is known (see handing).
    """
    return [
        KnownRow(*tuple(row))
        for model, old_pks in wanted.items()
        for row in transaction.execute(_KNOWN, {"import_id": import_id, "model": model, "old_pks": list(old_pks)})
    ]


def greatest_pks(transaction: Transaction, import_id: int, wanted: Collection[str]) -> dict[str, int]:
    """The greatest pk in the file of each model's rows that stand; 0 where none does, or none is known."""
    rows = transaction.execute(_GREATEST, {"import_id": import_id, "models": sorted(wanted)})
    return {row.model: row.pk or 0 for row in rows}


def counts_by_model(transaction: Transaction, import_id: int) -> dict[str, Counts]:
    """The sums of all chunks."""
    sums = [
        func.coalesce(func.sum(IMPORT_CHUNK.c.counts[name].astext.cast(BigInteger)), 0).label(name) for name in _COUNTED
    ]
    query = sql_select(IMPORT_CHUNK.c.model, *sums).where(IMPORT_CHUNK.c.import_id == import_id)
    rows = transaction.execute(query.group_by(IMPORT_CHUNK.c.model))
    return {row.model: Counts(**{name: int(getattr(row, name)) for name in _COUNTED}) for row in rows}


def pass_over(transaction: Transaction, of_import: DataImport, model: str) -> None:
    """Of the model's chunks, those without a row that failed need no other try."""
    parameters = {"import_id": of_import.id, "model": model, "tries": of_import.tries}
    transaction.execute(_PASS_OVER, parameters)


def untried(transaction: Transaction, of_import: DataImport, model: str) -> tuple[tuple[int, int], Counts] | None:
    """The first chunk of the model that this try has not come to: first and last ordinal, and its counts."""
    parameters = {"import_id": of_import.id, "model": model, "tries": of_import.tries}
    row = transaction.execute(_UNTRIED, parameters).one_or_none()
    return None if row is None else ((row.first_ordinal, row.last_ordinal), Counts(**row.counts))


def set_tried(transaction: Transaction, of_import: DataImport, model: str, first_ordinal: int, counts: Counts) -> None:
    """Note that this try has come to the chunk, which counts so now."""
    parameters = {
        "import_id": of_import.id,
        "model": model,
        "first_ordinal": first_ordinal,
        "tries": of_import.tries,
        "counts": msgspec.json.encode(asdict(counts)).decode(),
    }
    transaction.execute(_SET_TRIED, parameters)


def set_all_tried(transaction: Transaction, of_import: DataImport, model: str) -> None:
    """Note that this try has come to all chunks of the model, which are as they were."""
    parameters = {"import_id": of_import.id, "model": model, "tries": of_import.tries}
    transaction.execute(_SET_ALL_TRIED, parameters)


def rows_since(transaction: Transaction, import_id: int, since: datetime) -> int:
    """How many rows were done since then."""
    return int(transaction.execute(_WRITTEN_SINCE, {"import_id": import_id, "since": since}).scalar_one())
