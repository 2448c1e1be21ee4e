"""The short way of a batch in which nothing is amiss: one statement that looks up, inserts and enters into the ledger.

It decides nothing. A row that has a problem, or of which something is to be told, is not entered, and unique values
that are held already fail the statement: the caller rolls back and goes the whole way (shared.importing.statements),
which decides row by row. So do rows that would merge with others, or be adopted: what files bring is mostly new. What
the short way has written is what the whole way would have.
"""

from dataclasses import dataclass
from functools import lru_cache

from shared.importing.decisions import Decision
from shared.importing.digests import digest_of
from shared.importing.references import Known, referred
from shared.importing.statements import PLANNER, create_stage, fresh_pk
from shared.importing.targets import Conflict, Target

_ENTER = "INSERT INTO import_row (import_id, model, old_pk, new_pk, decision, ordinal, digest) SELECT %(import_id)s,"
_ENTERED = "RETURNING ordinal, old_pk, new_pk, decision, suffixed"


@dataclass(frozen=True)
class AtOnce:
    """The texts for one target. Parameters are psycopg's, by name: import_id, now, those of Known.

    `count` gives the number of rows that were entered, `rows` the ledger's row of each, by ordinal; one of both is run.
    """

    begin: str
    count: str
    rows: str


@lru_cache(maxsize=1000)
def at_once_of(target: Target, known: Known) -> AtOnce | None:
    """The statements of a target, made once. None where the whole way is needed in any case: rows that are overwritten
    are mostly there, and what follows needs more than the staged rows.
    """
    if target.followed_by or any(each.conflict is Conflict.OVERWRITE for each in target.unique):
        return None
    insert = _insert(target, known)
    return AtOnce(
        begin=f"{PLANNER}; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; {create_stage(target)}",
        count=f"{insert} SELECT count(*) FROM entered",
        rows=f"{insert} SELECT ordinal, old_pk, new_pk, decision, suffixed FROM entered ORDER BY ordinal",
    )


def _insert(target: Target, known: Known) -> str:
    columns = ", ".join(target.values)
    made_up = [f"{each.subject} IS NULL" for each in target.unique if each.conflict is Conflict.REPLACE or each.made_up]
    amiss = " OR ".join(["problem IS NOT NULL", "told <> 0", *made_up])
    return (
        f"WITH numbered AS MATERIALIZED (SELECT ordinal, old_pk, {fresh_pk(target)} AS new_pk, {columns}"
        f" FROM ({referred(target, known)}) AS referred WHERE ({amiss}) IS NOT TRUE),"
        f" made AS (INSERT INTO {target.table} AS t (id, {columns}) OVERRIDING SYSTEM VALUE"
        f" SELECT new_pk, {columns} FROM numbered RETURNING t.id, {digest_of(target.table, 't')} AS digest),"
        f" entered AS ({_ENTER} '{target.model}', old_pk, new_pk, {Decision.INSERT:d}, ordinal, digest"
        f" FROM numbered JOIN made ON made.id = new_pk {_ENTERED})"
    )
