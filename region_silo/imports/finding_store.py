"""SQL of findings: in bulk, in pages, and those of rows that are tried again."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Boolean, Column, SmallInteger, Table, Text, text
from sqlalchemy import select as sql_select
from sqlalchemy import update as sql_update

from region_silo.imports.tables import DATA_IMPORT
from region_silo.schema import METADATA
from shared.database import Transaction
from shared.importing.decisions import BatchFinding
from shared.importing.findings import Severity

IMPORT_FINDING = Table(
    "import_finding",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("import_id", BigInteger),
    Column("kind", Text),
    Column("model", Text),
    Column("ordinal", BigInteger),
    Column("pk", Text),
    Column("field", Text),
    Column("reason", Text),
    Column("skipped", Boolean),
    Column("severity", SmallInteger),
)

_NUMBERS = {Severity.WARNING: 1, Severity.SKIPPED: 2, Severity.ERROR: 3}

# As the index import_finding_failed_idx has it.
_FAILED = "(severity = 3 OR kind = 'MISSING_REFERENCE')"

_FAILED_ORDINALS = text(
    f"SELECT DISTINCT ordinal FROM import_finding WHERE import_id = :import_id AND model = :model AND {_FAILED}"
    " AND ordinal BETWEEN :first_ordinal AND :last_ordinal ORDER BY ordinal"
)
_TAKE_FAILED = text(
    f"""
    WITH gone AS (
        DELETE FROM import_finding WHERE import_id = :import_id AND model = :model AND {_FAILED}
            AND ordinal BETWEEN :first_ordinal AND :last_ordinal
        RETURNING severity
    )
    SELECT count(*) AS findings, count(*) FILTER (WHERE severity = 3) AS errors FROM gone
    """
)
# By the same index: a drift is an error.
_TAKE_DRIFTS = text("DELETE FROM import_finding WHERE import_id = :import_id AND severity = 3 AND kind = 'DRIFTED'")
_COUNT_ERRORS = text(
    "SELECT count(*) FROM import_finding WHERE import_id = :import_id AND model = :model AND severity = 3"
)


def copy_findings(transaction: Transaction, import_id: int, findings: Sequence[BatchFinding]) -> None:
    """Add findings in bulk, in their order."""
    if not findings:
        return
    columns = "import_id, kind, model, ordinal, pk, field, reason, skipped, severity"
    with (
        transaction.driver.cursor() as cursor,
        cursor.copy(f"COPY import_finding ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
    ):
        copy.set_types(("int8", "text", "text", "int8", "text", "text", "text", "bool", "int2"))
        for each in findings:
            row = (import_id, each.kind, each.model, each.ordinal, each.pk, each.field, each.reason, each.skipped)
            copy.write_row((*row, _NUMBERS[each.severity]))


def findings_page(
    transaction: Transaction, import_id: int, kind: str, after_id: int, rows_max: int
) -> list[tuple[int, BatchFinding]]:
    """Findings with ids above `after_id`, in the order in which they were found; `kind` "" means all."""
    table = IMPORT_FINDING
    query = sql_select(table).where(table.c.import_id == import_id, table.c.id > after_id)
    if kind:
        query = query.where(table.c.kind == kind)
    rows = transaction.execute(query.order_by(table.c.id).limit(rows_max))
    return [
        (row.id, BatchFinding(row.kind, row.model, row.ordinal, row.pk, row.field, row.reason, row.skipped))
        for row in rows
    ]


def failed_ordinals(transaction: Transaction, import_id: int, model: str, span: tuple[int, int]) -> list[int]:
    """The rows from the span's first ordinal to its last that had an error or missed a reference, ascending."""
    return list(transaction.execute(_FAILED_ORDINALS, _place(import_id, model, span)).scalars())


def take_failed(transaction: Transaction, import_id: int, model: str, span: tuple[int, int]) -> tuple[int, int]:
    """Remove the findings of those rows; how many, and how many of them were errors."""
    row = transaction.execute(_TAKE_FAILED, _place(import_id, model, span)).one()
    return row.findings, row.errors


def take_drifts(transaction: Transaction, import_id: int) -> int:
    """Remove what was found to differ from the import's plan; how many, and each was an error."""
    return int(transaction.execute(_TAKE_DRIFTS, {"import_id": import_id}).rowcount)


def count_errors_of(transaction: Transaction, import_id: int, model: str) -> int:
    """Findings of a model that are errors."""
    return int(transaction.execute(_COUNT_ERRORS, {"import_id": import_id, "model": model}).scalar_one())


def count_findings(transaction: Transaction, import_id: int, findings: int) -> None:
    """Count findings that are about no rows; the caller holds the import."""
    counted = DATA_IMPORT.c.finding_count + findings
    transaction.execute(sql_update(DATA_IMPORT).where(DATA_IMPORT.c.id == import_id).values(finding_count=counted))


def _place(import_id: int, model: str, span: tuple[int, int]) -> dict[str, object]:
    return {"import_id": import_id, "model": model, "first_ordinal": span[0], "last_ordinal": span[1]}
