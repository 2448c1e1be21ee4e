"""The short way of a batch in which nothing is amiss: one statement that looks up, inserts and enters into the ledger.

It decides nothing. A row that has a problem, or of which something is to be told, is not entered, and unique values
that are held already fail the statement: the caller rolls back and goes the whole way (shared.importing.statements),
which decides row by row. Where rows are expected to be there, as addresses are that came with their users, only those
are entered that are. What the short way has written is what the whole way would have.
"""

from dataclasses import dataclass
from functools import lru_cache

from shared.importing.decisions import Decision
from shared.importing.digests import digest_of
from shared.importing.references import Known, referred
from shared.importing.statements import PLANNER, create_stage, fresh_pk, same_values
from shared.importing.targets import PLANNED, Conflict, Target, UniqueSet

_EXPECTS_NONE_HELD = frozenset({Conflict.SKIP, Conflict.SUFFIX, Conflict.REPLACE, Conflict.RENEW, Conflict.CLEAR})
_EXPECT_ALL_HELD = ([Conflict.MERGE], [Conflict.ADOPT])
_ENTER = "INSERT INTO import_row (import_id, model, old_pk, new_pk, decision, ordinal, digest) SELECT %(import_id)s,"
_ENTERED = "RETURNING ordinal, old_pk, new_pk, decision, suffixed"


@dataclass(frozen=True)
class AtOnce:
    """The texts for one target. Parameters are psycopg's, by name: import_id, now, those of Known.

    `count` gives the number of rows that were entered, `rows` the ledger's row of each, by ordinal; one of both is run,
    `followed_by` after it. `decision`: what each of them has.
    """

    decision: Decision
    begin: str
    count: str
    rows: str
    followed_by: tuple[str, ...]


@lru_cache(maxsize=1000)
def at_once_of(target: Target, known: Known) -> AtOnce | None:
    """The statements of a target, made once. None where the whole way is needed in any case: some rows may be there and
    others not, or what follows needs more than the staged rows.
    """
    conflicts = [each.conflict for each in target.unique]
    if target.followed_by and (target.references or not target.snowflake):
        return None
    decision, followed_by = Decision.INSERT, target.followed_by
    if conflicts in _EXPECT_ALL_HELD and target.packed is None:
        insert = _meet(target, target.unique[0], known)
        if conflicts == [Conflict.MERGE]:  # what follows is for rows that are new
            decision, followed_by = Decision.MERGE, ()
    elif _EXPECTS_NONE_HELD.issuperset(conflicts):
        insert = _insert(target, known)
    else:
        return None
    return AtOnce(
        decision=decision,
        begin=f"{PLANNER}; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; {create_stage(target)}",
        count=f"{insert} SELECT count(*) FROM entered",
        rows=f"{insert} SELECT ordinal, old_pk, new_pk, decision, suffixed FROM entered ORDER BY ordinal",
        followed_by=tuple(
            each.replace(PLANNED, "").replace(target.resolved, f"({_as_resolved(target)})") for each in followed_by
        ),
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


def _meet(target: Target, unique: UniqueSet, known: Known) -> str:
    """Rows that are there stand for those of the file: merged as they are, or adopted, each once, if they are alike."""
    decision, digest, first, alike = Decision.MERGE, "NULL::int8", "", ""
    if unique.conflict is Conflict.ADOPT:
        told = [name for name in target.values if name not in target.made]
        there, wanted = (", ".join(f"{alias}.{name}" for name in told) for alias in ("t", "j"))
        decision, digest, first = Decision.INSERT, digest_of(target.table, "t"), "DISTINCT ON (e.id) "
        alike = f" AND ROW({there}) IS NOT DISTINCT FROM ROW({wanted})"
    return (
        f"WITH met AS MATERIALIZED (SELECT {first}j.ordinal, j.old_pk, e.id AS new_pk, e.digest"
        f" FROM ({referred(target, known)}) AS j JOIN LATERAL (SELECT t.id, {digest} AS digest FROM {target.table} t"
        f" WHERE {same_values(unique, 't', 'j')}{alike} LIMIT 1) e ON true WHERE (problem IS NULL AND told = 0)),"
        f" entered AS ({_ENTER} '{target.model}', old_pk, new_pk, {decision:d}, ordinal, digest FROM met {_ENTERED})"
    )


def _as_resolved(target: Target) -> str:
    """The staged rows as the whole way would have resolved them: all are new."""
    values = ", ".join(f"{value} AS {column}" for column, value in target.values.items())
    return (
        f"SELECT s.new_pk, {Decision.INSERT:d} AS decision, {target.carried} AS carried, {values} FROM {target.stage} s"
    )
