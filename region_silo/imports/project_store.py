"""SQL over the ids of projects, which an import in global scope keeps."""

from collections.abc import Collection

from sqlalchemy import text

from shared.database import Transaction

_TAKEN = text("SELECT id FROM project WHERE id = ANY (CAST(:ids AS int8[]))")


def taken_ids(transaction: Transaction, ids: Collection[int]) -> set[int]:
    """Those of the ids that projects have."""
    return set(transaction.execute(_TAKEN, {"ids": list(ids)}).scalars())
