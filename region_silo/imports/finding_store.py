"""SQL of findings: in bulk, and in pages."""

from collections.abc import Iterable

from sqlalchemy import BigInteger, Boolean, Column, Table, Text
from sqlalchemy import select as sql_select

from region_silo.schema import METADATA
from shared.database import Transaction
from shared.importing.decisions import BatchFinding

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
)


def copy_findings(transaction: Transaction, import_id: int, findings: Iterable[BatchFinding]) -> None:
    """Add findings in bulk, in their order."""
    columns = "import_id, kind, model, ordinal, pk, field, reason, skipped"
    with (
        transaction.driver.cursor() as cursor,
        cursor.copy(f"COPY import_finding ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy,
    ):
        copy.set_types(("int8", "text", "text", "int8", "text", "text", "text", "bool"))
        for each in findings:
            copy.write_row(
                (import_id, each.kind, each.model, each.ordinal, each.pk, each.field, each.reason, each.skipped)
            )


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
