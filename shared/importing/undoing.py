"""Undoes one page of an import's ledger inside the caller's transaction: rows go, return to what they were, or stay.

A row stays when its digest is no longer the one that the import left, or when something refers to it. What the import
itself brought has been undone before what it refers to (shared.importing.undo_order), so whatever refers to a row by
then is either from outside or stays too. Nothing is deleted but the rows of the page, which are counted; their ledger
goes with them, so the ledger always tells what still stands, and a repeat finds nothing left to do.

All statements are about a whole page. What is looked up by an index is looked up row by row, for a planner that knows
nothing of tables that have just grown would read them whole; what has no index is read once a page.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import text

from shared.database import Transaction
from shared.importing.decisions import BatchFinding, Decision, WriteKind
from shared.importing.digests import digest_of
from shared.importing.kept import TABLE as KEPT
from shared.importing.registry import Silo, models
from shared.statements import command

PAGE_ROWS = 5000
_OWN = f"q.decision IN ({Decision.INSERT:d}, {Decision.SUFFIX:d}) AND q.stays IS NULL"

_BEGIN = """
    SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    CREATE TEMPORARY TABLE IF NOT EXISTS undo_page (old_pk int8, new_pk int8, decision int2, ordinal int8, digest int8,
        stays text) ON COMMIT DELETE ROWS;
    CREATE INDEX IF NOT EXISTS undo_page_old_pk_idx ON undo_page (old_pk);
    CREATE INDEX IF NOT EXISTS undo_page_new_pk_idx ON undo_page (new_pk)
"""
_FILL = text(
    """
    INSERT INTO undo_page SELECT old_pk, new_pk, decision, ordinal, digest, stays FROM import_row
    WHERE import_id = :import_id AND model = :model AND old_pk > :after AND old_pk <= :through AND decision > 0
    ORDER BY old_pk LIMIT :rows_max
    """
)
_FILL_GIVEN = text(
    "INSERT INTO undo_page (old_pk, new_pk, decision, ordinal)"
    f" SELECT DISTINCT pk, pk, {Decision.INSERT:d}, 0 FROM unnest(CAST(:pks AS int8[])) AS given (pk)"
)
_END_OF_PAGE = text("SELECT count(*) AS rows, max(old_pk) AS last FROM undo_page")
_TELL = text(
    "UPDATE undo_page q SET stays = told.reason"
    " FROM unnest(CAST(:pks AS int8[]), CAST(:reasons AS text[])) AS told (pk, reason)"
    f" WHERE q.new_pk = told.pk AND {_OWN}"
)
_ANY_OVERWRITTEN = text(
    f"SELECT EXISTS (SELECT FROM undo_page WHERE decision = {Decision.OVERWRITE:d} AND stays IS NULL)"
)
_WITHOUT_IMAGE = text(
    f"""
    UPDATE undo_page q SET stays = '{WriteKind.KEPT_CHANGED.value}'
    WHERE q.decision = {Decision.OVERWRITE:d} AND q.stays IS NULL AND NOT EXISTS (
        SELECT FROM import_before_image b WHERE b.import_id = :import_id AND b.model = :model AND b.pk = q.new_pk)
    """
)
_FORGET_IMAGES = text(
    f"""
    DELETE FROM import_before_image b USING undo_page q WHERE b.import_id = :import_id AND b.model = :model
        AND b.pk = q.new_pk AND q.decision = {Decision.OVERWRITE:d} AND q.stays IS NULL
    """
)
_FORGET = text(
    """
    DELETE FROM import_row r USING undo_page q
    WHERE r.import_id = :import_id AND r.model = :model AND r.old_pk = q.old_pk AND q.stays IS NULL
    """
)
_MARK = text(
    """
    UPDATE import_row r SET stays = q.stays FROM undo_page q
    WHERE r.import_id = :import_id AND r.model = :model AND r.old_pk = q.old_pk AND r.stays IS NULL
        AND q.stays IS NOT NULL
    """
)
_UNMARK = text("UPDATE import_row SET stays = NULL WHERE import_id = :import_id AND stays IS NOT NULL")
_GOING = text(f"SELECT q.new_pk FROM undo_page q WHERE {_OWN} ORDER BY q.new_pk")
_STAYING = text("SELECT ordinal, old_pk, new_pk, stays FROM undo_page WHERE stays IS NOT NULL ORDER BY old_pk")
_UNDONE = text(f"SELECT count(*) FROM undo_page q WHERE stays IS NULL AND decision <> {Decision.MERGE:d}")
_COLUMNS = text(
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
    " AND attidentity = '' AND attname <> 'id' ORDER BY attnum"
)
_FOREIGN_KEYS = text(
    """
    SELECT child.relname AS child, attribute.attname AS column FROM pg_constraint AS reference
    JOIN pg_class AS child ON child.oid = reference.conrelid
    JOIN pg_attribute AS attribute ON attribute.attrelid = child.oid AND attribute.attnum = reference.conkey[1]
    WHERE reference.contype = 'f' AND reference.confrelid = to_regclass(:table) ORDER BY 1, 2
    """
)


@dataclass(frozen=True)
class Span:
    """Rows of a model in a ledger, by their pk in the file: above `after`, up to `through`; at most so many of them."""

    import_id: int
    model: str
    after: int
    through: int
    rows_max: int = PAGE_ROWS

    @property
    def place(self) -> dict[str, Any]:
        """As statements name it."""
        return {"import_id": self.import_id, "model": self.model}


@dataclass(frozen=True)
class Reference:
    """What may refer to rows of a page, and what is told then: `kind`, and `by` as SQL over `c`.

    `holders` is FROM and WHERE of an index's look-up over `q.new_pk`; or, with `column`, of the rows whose `column` may
    refer, which are read once a page.
    """

    by: str
    holders: str
    column: str = ""
    kind: WriteKind = WriteKind.KEPT_REFERRED
    at: str = ""
    """The table's column, "table.column", where one is meant."""

    @property
    def statement(self) -> str:
        """Marks the rows that are referred to."""
        told = f"'{self.kind.value} ' || {self.by}"
        if self.column:
            found = f"SELECT DISTINCT ON (c.{self.column}) c.{self.column} AS pk, {told} AS told {self.holders}"
            return f"UPDATE undo_page q SET stays = f.told FROM ({found}) f WHERE q.new_pk = f.pk AND {_OWN}"
        return (
            "UPDATE undo_page p SET stays = f.told FROM (SELECT q.old_pk, l.told FROM undo_page q"
            f" JOIN LATERAL (SELECT {told} AS told {self.holders} LIMIT 1) l ON true WHERE {_OWN}) f"
            " WHERE p.old_pk = f.old_pk"
        )


@dataclass(frozen=True)
class StayingRow:
    """A row that stays: its place and pk in the file, its pk here, a WriteKind's value, and what it is because of."""

    ordinal: int
    old_pk: int
    new_pk: int
    kind: str
    by: str

    def finding(self, model: str) -> BatchFinding:
        """What is told of it."""
        reason = _REASONS[self.kind].format(pk=self.new_pk, by=self.by)
        return BatchFinding.of_write(
            self.kind, model, self.ordinal, self.old_pk, field="", reason=reason, skipped=False
        )


_REASONS: Mapping[str, str] = {
    WriteKind.KEPT_CHANGED.value: "row {pk} stays: it is not as the import left it",
    WriteKind.KEPT_REFERRED.value: "row {pk} stays: {by} refers to it",
    WriteKind.KEPT_MEMBER.value: "user {pk} stays: {by} has the user",
    WriteKind.KEPT_WITH_USER.value: "row {pk} stays: its user does",
}


@dataclass(frozen=True)
class UndonePage:
    """What became of a page: how many rows went or returned to what they were, and those that stay.

    `last` is the pk in the file up to which the span is done; `has_more` whether rows may be left behind it. `in_all`:
    how many rows of the model went or returned by now, in this page and all others; None when nobody noted it.
    """

    undone: int
    staying: Sequence[StayingRow]
    last: int
    has_more: bool
    in_all: int | None = None


def lookup(table: str, column: str, *, kind: WriteKind = WriteKind.KEPT_REFERRED) -> Reference:
    """Rows of a table whose column, which an index begins with, refers to rows of the page."""
    return Reference(f"'{table}'", f"FROM {table} c WHERE c.{column} = q.new_pk", kind=kind, at=f"{table}.{column}")


def scan(table: str, column: str) -> Reference:
    """Rows of a table whose column, which no index begins with, refers to rows of the page."""
    return Reference(f"'{table}'", f"FROM {table} c WHERE c.{column} IS NOT NULL", column, at=f"{table}.{column}")


def foreign_keys(transaction: Transaction, table: str) -> list[Reference]:
    """What has a foreign key to the table, those that a deletion would follow too."""
    return [lookup(row.child, row.column) for row in transaction.execute(_FOREIGN_KEYS, {"table": table})]


@cache
def kept_references(model: str, silo: Silo, *, besides: frozenset[str] = frozenset()) -> tuple[Reference, ...]:
    """Kept rows of a silo that refer to rows of the model, but for those of the models `besides`."""
    fields: dict[str, list[str]] = {}
    for each in models().values():
        if each.silo is silo and each.table is None and each.name not in besides:
            for reference in each.references:
                if reference.model == model:
                    fields.setdefault(reference.field, []).append(each.name)
    # The empty text keeps the index of models out: it would find too much.
    return tuple(
        Reference(
            "c.model",
            f"FROM {KEPT} c WHERE c.refs @> jsonb_build_object('{field}', q.new_pk)"
            f" AND (c.model || '') = ANY ('{{{','.join(names)}}}')",
        )
        for field, names in sorted(fields.items())
    )


def other_imports(model: str) -> Reference:
    """Other imports, no plans, for whose rows the row that is here stands."""
    return Reference(
        "'imports/' || c.import_id",
        f"""
        FROM (SELECT DISTINCT import_id FROM import_chunk WHERE model = '{model}') i
        JOIN import_row c ON c.import_id = i.import_id AND c.model = '{model}'
        WHERE c.import_id <> :import_id AND c.decision = {Decision.MERGE:d} AND c.existing IS NULL
        """,
        "new_pk",
    )


def forget_marks(transaction: Transaction, import_id: int) -> None:
    """What stays is found out anew."""
    transaction.execute(_UNMARK, {"import_id": import_id})


def open_page(transaction: Transaction, span: Span) -> None:
    """Take the next rows of the ledger; the steps that follow are about them."""
    command(transaction.driver, _BEGIN.encode())
    parameters = {"after": span.after, "through": span.through, "rows_max": span.rows_max}
    transaction.execute(_FILL, {**span.place, **parameters})
    command(transaction.driver, b"ANALYZE undo_page")


def open_given(transaction: Transaction, pks: Sequence[int]) -> None:
    """Take rows that another silo asks about, by their pks here; only `find_referred` makes sense of them."""
    command(transaction.driver, _BEGIN.encode())
    transaction.execute(_FILL_GIVEN, {"pks": list(pks)})
    command(transaction.driver, b"ANALYZE undo_page")


def find_changed(transaction: Transaction, table: str) -> None:
    """Lock the page's rows; those that are not as the import left them stay."""
    statements = (
        f"SELECT FROM {table} t WHERE t.id IN (SELECT new_pk FROM undo_page) ORDER BY t.id FOR UPDATE",
        f"""
        UPDATE undo_page q SET stays = '{WriteKind.KEPT_CHANGED.value}' FROM {table} t
        WHERE t.id = q.new_pk AND q.stays IS NULL AND q.decision <> {Decision.MERGE:d}
            AND {digest_of(table, "t")} IS DISTINCT FROM q.digest
        """,
    )
    for statement in statements:
        transaction.execute(text(statement))


def find_referred(transaction: Transaction, span: Span, references: Iterable[Reference]) -> None:
    """Rows of the page that something refers to stay."""
    for each in references:
        is_scan = bool(each.column)
        if is_scan:
            command(transaction.driver, _scanning(True))
        transaction.execute(text(each.statement), {"import_id": span.import_id})
        if is_scan:
            command(transaction.driver, _scanning(False))


def find_told(transaction: Transaction, told: Collection[tuple[int, str]]) -> None:
    """Rows of the page that another silo refers to stay: pk, and kind with what refers."""
    if told:
        pks, reasons = zip(*told, strict=True)
        transaction.execute(_TELL, {"pks": list(pks), "reasons": list(reasons)})


def going(transaction: Transaction) -> list[int]:
    """The pks of the page's rows that are to go, ascending; of some there may be none any more."""
    return list(transaction.execute(_GOING).scalars())


def mark(transaction: Transaction, span: Span) -> None:
    """Note in the ledger which rows of the page stay."""
    transaction.execute(_MARK, span.place)


def undo_page(
    transaction: Transaction, span: Span, table: str, before: Callable[[Sequence[int]], None] = lambda _: None
) -> UndonePage:
    """Let go what does not stay, or return to what it was, and forget it; `before` gets the pks of rows that go."""
    if transaction.execute(_ANY_OVERWRITTEN).scalar_one():
        transaction.execute(_WITHOUT_IMAGE, span.place)
        transaction.execute(text(_restore(transaction, table)), span.place)
        transaction.execute(_FORGET_IMAGES, span.place)
    pks = going(transaction)
    if pks:
        before(pks)
    transaction.execute(text(f"DELETE FROM {table} t USING undo_page q WHERE t.id = q.new_pk AND {_OWN}"))
    undone = int(transaction.execute(_UNDONE).scalar_one())
    transaction.execute(_FORGET, span.place)
    return page_done(transaction, span, undone)


def page_done(transaction: Transaction, span: Span, undone: int = 0) -> UndonePage:
    """What stays of the page, and where the span goes on."""
    staying = [
        StayingRow(row.ordinal, row.old_pk, row.new_pk, *_parted(row.stays)) for row in transaction.execute(_STAYING)
    ]
    end = transaction.execute(_END_OF_PAGE).one()
    has_more = end.rows == span.rows_max
    return UndonePage(undone, staying, end.last if has_more else span.through, has_more)


def _restore(transaction: Transaction, table: str) -> str:
    columns = list(transaction.execute(_COLUMNS, {"table": table}).scalars())
    changes = ", ".join(f"{name} = r.{name}" for name in columns)
    return f"""
        UPDATE {table} t SET {changes}
        FROM undo_page q JOIN import_before_image b
            ON b.import_id = :import_id AND b.model = :model AND b.pk = q.new_pk
        JOIN {table} o ON o.id = q.new_pk
        CROSS JOIN LATERAL jsonb_populate_record(o, b.image) r
        WHERE t.id = q.new_pk AND q.decision = {Decision.OVERWRITE:d} AND q.stays IS NULL
    """


def _parted(stays: str) -> tuple[str, str]:
    kind, _, by = stays.partition(" ")
    return kind, by


def _scanning(on: bool) -> bytes:
    setting, other = ("on", "off") if on else ("off", "on")
    return (
        f"SET LOCAL enable_seqscan = {setting}; SET LOCAL enable_hashjoin = {setting};"
        f" SET LOCAL enable_nestloop = {other}"
    ).encode()
