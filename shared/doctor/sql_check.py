"""A check that is one SQL statement over a range of keys, so that a look at a large table is many short ones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import TextClause, text

from shared.database import Transaction
from shared.doctor.domain import Found, Key, Looked, When

Repair = Callable[[Transaction, Key], bool]

_SHAPE = """
    WITH looked AS MATERIALIZED (
        SELECT {keys}, {columns} FROM {table} WHERE {range} ORDER BY {order} LIMIT :rows_max
    ), wrong AS ({wrong})
    SELECT counted.rows, {last}, wrong.says, {found}
    FROM (SELECT count(*) AS rows FROM looked) AS counted
    LEFT JOIN (SELECT {names} FROM looked ORDER BY {descending} LIMIT 1) AS last ON true
    LEFT JOIN wrong ON true
    ORDER BY {found_order}
"""


@dataclass(frozen=True)
class SqlCheck:
    """`key` are the columns of a unique index of `table`, for a page goes on behind the last row's key; `columns` is
    what `wrong` needs besides.

    `wrong` selects k1 (k2, and so on) and `says` from `looked`. It may use :now and :older_than. `uuids` are those of
    the key's columns that are UUIDs; in `looked` they are texts.
    """

    id: str
    says: str
    when: When
    table: str
    key: tuple[str, ...]
    wrong: str
    columns: str = "1 AS one"
    key_types: tuple[type, ...] = (str,)
    uuids: tuple[str, ...] = ()
    mend: Repair | None = None
    _statements: dict[str, TextClause] = field(default_factory=dict)

    @property
    def is_repairable(self) -> bool:
        return self.mend is not None

    def look(self, transaction: Transaction, *, after: Key | None, rows_max: int, older_than: datetime) -> Looked:
        """See domain.Check."""
        rows = transaction.execute(
            self._statement("true" if after is None else ">"),
            {**_named("after", after or ()), "rows_max": rows_max, **_times(transaction, older_than)},
        ).all()
        names = range(1, len(self.key) + 1)
        found = tuple(
            Found(tuple(getattr(row, f"found{n}") for n in names), row.says) for row in rows if row.says is not None
        )
        last = tuple(getattr(rows[0], f"last{n}") for n in names) if rows[0].rows else None
        return Looked(found, rows[0].rows, last)

    def is_found(self, transaction: Transaction, key: Key, *, older_than: datetime) -> bool:
        """See domain.Check."""
        parameters = {**_named("after", key), "rows_max": 1, **_times(transaction, older_than)}
        return any(row.says is not None for row in transaction.execute(self._statement("="), parameters))

    def repair(self, transaction: Transaction, key: Key) -> bool:
        """See domain.Check."""
        return self.mend is not None and self.mend(transaction, key)

    def _statement(self, comparison: str) -> TextClause:
        if comparison not in self._statements:
            names = [f"k{n}" for n in range(1, len(self.key) + 1)]
            after = ", ".join(
                f"CAST(:after{n} AS uuid)" if column in self.uuids else f":after{n}"
                for n, column in enumerate(self.key, start=1)
            )
            where = "true" if comparison == "true" else f"({', '.join(self.key)}) {comparison} ({after})"
            self._statements[comparison] = text(
                _SHAPE.format(
                    keys=", ".join(
                        f"CAST({column} AS text) AS {name}" if column in self.uuids else f"{column} AS {name}"
                        for column, name in zip(self.key, names, strict=True)
                    ),
                    columns=self.columns,
                    table=self.table,
                    range=where,
                    order=", ".join(self.key),
                    wrong=self.wrong,
                    last=", ".join(f"last.{name} AS last{name[1:]}" for name in names),
                    found=", ".join(f"wrong.{name} AS found{name[1:]}" for name in names),
                    names=", ".join(names),
                    descending=", ".join(f"{name} DESC" for name in names),
                    found_order=", ".join(f"wrong.{name}" for name in names),
                )
            )
        return self._statements[comparison]


def _named(name: str, key: Key) -> dict[str, object]:
    return {f"{name}{place}": part for place, part in enumerate(key, start=1)}


def _times(transaction: Transaction, older_than: datetime) -> dict[str, object]:
    return {"now": transaction.now, "older_than": older_than}
