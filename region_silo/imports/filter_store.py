"""SQL of filters: the rows that are wanted, by pk in the file, and those that were left out because of them.

Nothing of it is held in memory: a file may have any number of rows.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import text

from shared.database import Transaction

_INSERT_WANTED = text(
    """
    INSERT INTO import_filter (import_id, model, old_pk, wanted, name)
    SELECT DISTINCT ON (wanted.old_pk) :import_id, :model, wanted.old_pk, true, wanted.name
    FROM unnest(CAST(:old_pks AS int8[]), CAST(:names AS text[])) AS wanted (old_pk, name)
    ORDER BY wanted.old_pk, wanted.name
    ON CONFLICT (import_id, model, old_pk) DO UPDATE SET name = COALESCE(excluded.name, import_filter.name)
    """
)
_INSERT_LEFT_OUT = text(
    """
    INSERT INTO import_filter AS held (import_id, model, old_pk, wanted, rows)
    SELECT :import_id, :model, gone.old_pk, false, gone.rows
    FROM unnest(CAST(:old_pks AS int8[]), CAST(:rows AS int8[])) AS gone (old_pk, rows)
    ON CONFLICT (import_id, model, old_pk) DO UPDATE SET rows = held.rows + excluded.rows
    """
)
_PKS = text(
    """
    SELECT old_pk FROM import_filter WHERE import_id = :import_id AND model = :model AND wanted = :wanted
        AND old_pk = ANY (CAST(:old_pks AS int8[]))
    """
)
_NAMES = text(
    """
    SELECT DISTINCT name FROM import_filter WHERE import_id = :import_id AND model = :model
        AND name = ANY (CAST(:names AS text[]))
    """
)
_COUNT_LEFT_OUT = text(
    """
    SELECT COALESCE(sum(rows), 0) FROM import_filter WHERE import_id = :import_id AND model = :model AND NOT wanted
    """
)
_SET_FILTERED = text("UPDATE data_import SET filtered_at = :now WHERE id = :import_id AND filtered_at IS NULL")


def insert_wanted(
    transaction: Transaction, import_id: int, model: str, names: Sequence[tuple[int, str | None]]
) -> None:
    """Rows that are wanted: pk, and the name by which other rows know it. Those that are there get their name."""
    parameters = {
        "import_id": import_id,
        "model": model,
        "old_pks": [pk for pk, _ in names],
        "names": [name for _, name in names],
    }
    transaction.execute(_INSERT_WANTED, parameters)


def insert_left_out(transaction: Transaction, import_id: int, model: str, pks: Collection[int]) -> None:
    """Rows that were left out, a pk for each."""
    counted = Counter(pks)
    parameters = {"import_id": import_id, "model": model, "old_pks": list(counted), "rows": list(counted.values())}
    transaction.execute(_INSERT_LEFT_OUT, parameters)


def take_out(transaction: Transaction, import_id: int, model: str, pks: Collection[int]) -> None:
    """Rows that are to be left out when their turn comes, and those that refer to them."""
    found = sorted(set(pks))
    parameters = {"import_id": import_id, "model": model, "old_pks": found, "rows": [0] * len(found)}
    transaction.execute(_INSERT_LEFT_OUT, parameters)


def wanted_of(transaction: Transaction, import_id: int, model: str, pks: Collection[int]) -> set[int]:
    """Those of the pks that are wanted."""
    return _found(transaction, import_id, model, pks, wanted=True)


def left_out_of(
    transaction: Transaction, import_id: int, referred: Mapping[str, Collection[int]]
) -> set[tuple[str, int]]:
    """Those of the rows, by model and pk, that were left out."""
    return {
        (model, pk)
        for model, pks in referred.items()
        for pk in _found(transaction, import_id, model, pks, wanted=False)
    }


def known_names(transaction: Transaction, import_id: int, model: str, names: Collection[str]) -> set[str]:
    """Those of the names that wanted rows of the model have."""
    parameters = {"import_id": import_id, "model": model, "names": list(names)}
    return set(transaction.execute(_NAMES, parameters).scalars())


def count_left_out(transaction: Transaction, import_id: int, model: str) -> int:
    """How many rows of the model were left out."""
    return int(transaction.execute(_COUNT_LEFT_OUT, {"import_id": import_id, "model": model}).scalar_one())


def set_filtered(transaction: Transaction, import_id: int) -> bool:
    """Everything that the filters want is known now; False when that was so before."""
    return bool(transaction.execute(_SET_FILTERED, {"import_id": import_id, "now": transaction.now}).rowcount)


def _found(transaction: Transaction, import_id: int, model: str, pks: Collection[int], *, wanted: bool) -> set[int]:
    parameters = {"import_id": import_id, "model": model, "wanted": wanted, "old_pks": list(pks)}
    return set(transaction.execute(_PKS, parameters).scalars()) if pks else set()
