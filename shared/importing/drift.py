"""Whether a batch that applies a plan decides as the plan did; what differs becomes findings before a row is written.

The plan's ledger tells decision, name, what was told, and of rows that were there which ones, and what the ones that
are overwritten held. Names that a plan gave are taken first, so that only a taken one differs.
"""

from typing import Any

import psycopg

from shared.importing.decisions import BatchFinding, Decision, WriteKind
from shared.importing.statements import suffix_statements
from shared.importing.targets import Target, UniqueSet

_TOLD_MAX = 1000


class DriftedError(Exception):
    """The batch would not be written as planned; nothing of it is. Holds what differs, at most 1,000 rows."""

    def __init__(self, findings: list[BatchFinding]) -> None:
        super().__init__(f"{len(findings)} rows drifted")
        self.findings = findings


def take_planned_names(driver: "psycopg.Connection[Any]", target: Target, unique: UniqueSet, plan_id: int) -> None:
    """Give rows whose name is taken the name that the plan gave them, where it is free."""
    statement = f"""
        UPDATE {target.resolved} r SET suffixed = n.suffixed FROM import_row n
        WHERE n.import_id = %(plan_id)s AND n.model = '{target.model}' AND n.old_pk = r.old_pk
            AND n.suffixed IS NOT NULL AND r.decision = {Decision.SUFFIX:d}
            AND NOT EXISTS ({suffix_statements(target, unique).held_by("n.suffixed")})
    """
    driver.execute(statement.encode(), {"plan_id": plan_id})


def check_drift(driver: "psycopg.Connection[Any]", target: Target, plan_id: int, *, edited: bool) -> None:
    """Raise DriftedError when what resolve decided is not what stands in the plan's ledger.

    When the plan was `edited`, a row that stood for another row of the file may be written itself: that other one was
    taken out.
    """
    rows = driver.execute(_drift_of(target).encode(), {"plan_id": plan_id, "edited": edited}).fetchall()
    if rows:
        raise DriftedError([_finding(target.model, row) for row in rows])


def _drift_of(target: Target) -> str:
    return f"""
        SELECT r.ordinal, r.old_pk, r.decision, r.suffixed, r.new_pk, r.problem, p.decision, p.suffixed, p.new_pk,
            md5(to_jsonb(t)::text) IS DISTINCT FROM p.before AS changed
        FROM {target.resolved} r
        LEFT JOIN LATERAL (
            SELECT * FROM import_row w WHERE w.import_id = %(plan_id)s AND w.model = '{target.model}'
                AND w.old_pk = r.old_pk AND w.ordinal = r.ordinal LIMIT 1) p ON true
        LEFT JOIN LATERAL (
            SELECT * FROM {target.table} w WHERE w.id = r.new_pk AND r.decision = {Decision.OVERWRITE:d} LIMIT 1) t
            ON true
        WHERE r.decision IS DISTINCT FROM p.decision
                AND NOT (%(edited)s AND COALESCE(p.decision = {Decision.MERGE:d} AND NOT p.existing
                    AND r.decision = {Decision.INSERT:d}, false))
            OR r.decision = {Decision.SUFFIX:d} AND r.suffixed IS DISTINCT FROM p.suffixed
            OR p.existing AND r.new_pk <> p.new_pk
            OR r.decision IS NOT NULL AND r.told IS DISTINCT FROM p.told
            OR r.decision = {Decision.OVERWRITE:d} AND md5(to_jsonb(t)::text) IS DISTINCT FROM p.before
        ORDER BY r.ordinal LIMIT {_TOLD_MAX}
    """


def _finding(model: str, row: tuple[Any, ...]) -> BatchFinding:
    ordinal, old_pk, decision, name, new_pk, problem, planned, planned_name, planned_pk, changed = row
    now, then = _words(decision, name, new_pk, problem), _words(planned, planned_name, planned_pk, None)
    if now == then and decision == Decision.OVERWRITE and changed:
        now = "it holds other values than then"
    elif now == then:
        now = "the same, but one of its values or references is taken, free or missing that was not then"
    reason = f"the plan says: {then}; now: {now}"
    return BatchFinding.of_write(WriteKind.DRIFTED.value, model, ordinal, old_pk, field="", reason=reason, skipped=True)


def _words(decision: int | None, name: str | None, new_pk: int | None, problem: str | None) -> str:
    if decision is None:
        return f"skipped ({problem})" if problem else "skipped"
    if decision == Decision.SUFFIX:
        return f'written as "{name}"'
    if decision in (Decision.MERGE, Decision.OVERWRITE):
        return f"{Decision(decision).name.lower()} with row {new_pk}"
    return "inserted"
