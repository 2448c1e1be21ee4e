"""The writes of a batch, as SQL text made from a Target: they only copy what resolve decided.

An import writes to the tables; a plan to its own, which have another name (shared.importing.planning).
"""

from shared.importing.decisions import Decision
from shared.importing.digests import digest_of
from shared.importing.planning import SUFFIX
from shared.importing.policies import POLICIES, Policy
from shared.importing.targets import PLANNED, Conflict, Target


def ledger_of_batch(target: Target, *, planned: bool) -> str:
    """The batch's part of the pk map, with the digests of the rows as they stand now; merged ones have none.

    A plan leaves no row. It notes what has to be found unchanged: which rows are the silo's own, and what those hold
    that are overwritten, or would be if that were chosen for the row.
    """
    digest = (
        f"SELECT {digest_of(target.table, 't')} AS digest FROM {target.table} t"
        f" WHERE t.id = r.new_pk AND r.decision <> {Decision.MERGE:d} LIMIT 1"
    )
    noted, values, join = ", digest", ", w.digest", f" LEFT JOIN LATERAL ({digest}) w ON true"
    if planned:
        noted = ", existing, told, before"
        may_be_chosen = Policy.OVERWRITE in POLICIES.get(target.model, ())
        overwritten = (
            f"decision = {Decision.OVERWRITE:d}{f' OR decision = {Decision.MERGE:d}' if may_be_chosen else ''}"
        )
        values = (
            f", CASE WHEN decision IN ({Decision.MERGE:d}, {Decision.OVERWRITE:d}) THEN own.id IS NOT NULL END, told,"
            f" CASE WHEN {overwritten} THEN md5(to_jsonb(own)::text) END"
        )
        join = f" LEFT JOIN public.{target.table} own ON own.id = r.new_pk"
    return (
        f"INSERT INTO import_row (import_id, model, old_pk, new_pk, decision, ordinal, suffixed{noted})"
        f" SELECT %(import_id)s, '{target.model}', old_pk, new_pk, decision, ordinal, suffixed{values}"
        f" FROM {target.resolved} r{join} WHERE decision IS NOT NULL"
    )


def planned_writes(target: Target) -> tuple[str, ...]:
    """What a plan writes: rows of its own. What is there is not changed, whatever was decided."""
    insert, *adopt = _made(target, target.resolved, f"{target.table}{SUFFIX}")
    return (insert, *adopt, *(each.replace(PLANNED, SUFFIX) for each in target.followed_by))


def _made(target: Target, resolved: str, table: str) -> list[str]:
    """The statements that write to rows of the import's own."""
    columns = list(target.values)
    suffixed = {each.subject for each in target.unique if each.conflict is Conflict.SUFFIX}
    read = ", ".join(f"COALESCE(suffixed, {name})" if name in suffixed else name for name in columns)
    insert = (
        f"INSERT INTO {table} (id, {', '.join(columns)}) OVERRIDING SYSTEM VALUE SELECT new_pk, {read}"
        f" FROM {resolved} WHERE decision IN ({Decision.INSERT:d}, {Decision.SUFFIX:d}) AND NOT adopted"
    )
    if Conflict.ADOPT not in {each.conflict for each in target.unique}:
        return [insert]
    changes = ", ".join(f"{name} = r.{name}" for name in columns)
    told = [name for name in columns if name not in target.made]
    there, wanted = (", ".join(f"{alias}.{name}" for name in told) for alias in ("t", "r"))
    adopt = (
        f"UPDATE {table} t SET {changes} FROM {resolved} r"
        " WHERE t.id = r.new_pk AND r.adopted AND r.decision IS NOT NULL"
        f" AND ROW({there}) IS DISTINCT FROM ROW({wanted})"
    )
    return [insert, adopt]


def writes_of(target: Target) -> tuple[str, ...]:
    """What an import writes, with the images of rows before they are overwritten."""
    resolved = target.resolved
    changes = ", ".join(f"{name} = r.{name}" for name in target.values)
    writes = _made(target, resolved, target.table)
    if Conflict.OVERWRITE in {each.conflict for each in target.unique}:
        overwritten = f"t.id = r.new_pk AND r.decision = {Decision.OVERWRITE:d}"
        writes += [
            f"""
            INSERT INTO import_before_image (import_id, model, pk, image, created_at)
            SELECT %(import_id)s, '{target.model}', t.id, to_jsonb(t), %(now)s
            FROM {target.table} t JOIN {resolved} r ON {overwritten} ON CONFLICT DO NOTHING
            """,
            f"UPDATE {target.table} t SET {changes} FROM {resolved} r WHERE {overwritten}",
        ]
    return (*writes, *(each.replace(PLANNED, "") for each in target.followed_by))
