"""Whether a batch that applies a plan decides as the plan did; what differs becomes findings before a row is written.

The plan's ledger tells decision, name, what was told, and of rows that were there which ones, and what the ones that
are overwritten held. Names that a plan gave are taken first, so that only a taken one differs.

When a plan was edited, what follows from the edits is no drift: a row that refers to one that is treated otherwise, and
one whose values another row of the file has no more, or has now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg

from shared.importing.choices import CHOSEN, Choice, as_parameters
from shared.importing.decisions import BatchFinding, Decision, WriteKind
from shared.importing.policies import POLICIES, Policy
from shared.importing.registry import Reference
from shared.importing.statements import suffix_statements
from shared.importing.targets import Target, UniqueSet

_TOLD_MAX = 1000
_OF_REFERENCES = 0xFF
"""The bits of `told` that say which references became null."""


class DriftedError(Exception):
    """The batch would not be written as planned; nothing of it is. Holds what differs, at most 1,000 rows."""

    def __init__(self, findings: list[BatchFinding]) -> None:
        super().__init__(f"{len(findings)} rows drifted")
        self.findings = findings


@dataclass(frozen=True)
class Edits:
    """How the plan was edited: `import_id` is the application's, `choices` the policies of the batch's rows."""

    import_id: int
    choices: Sequence[Choice] = ()


def take_planned_names(driver: "psycopg.Connection[Any]", target: Target, unique: UniqueSet, plan_id: int) -> None:
    """Give rows whose name is taken the name that the plan gave them, where it is free."""
    statement = f"""
        UPDATE {target.resolved} r SET suffixed = n.suffixed FROM import_row n
        WHERE n.import_id = %(plan_id)s AND n.model = '{target.model}' AND n.old_pk = r.old_pk
            AND n.suffixed IS NOT NULL AND r.decision = {Decision.SUFFIX:d}
            AND NOT EXISTS ({suffix_statements(target, unique).held_by("n.suffixed")})
    """
    driver.execute(statement.encode(), {"plan_id": plan_id})


def check_drift(driver: "psycopg.Connection[Any]", target: Target, plan_id: int, edits: Edits | None) -> None:
    """Raise DriftedError when what was decided is not what stands in the plan's ledger, nor follows from its edits.

    A row with a choice may be inserted or treated as chosen, with the row that the plan names if it names one.
    """
    parameters: dict[str, Any] = {"plan_id": plan_id}
    if edits is not None:
        parameters |= {"import_id": edits.import_id, **as_parameters(edits.choices)}
    rows = driver.execute(_drift_of(target, edited=edits is not None).encode(), parameters).fetchall()
    if rows:
        raise DriftedError([_finding(target.model, row) for row in rows])


@cache
def _drift_of(target: Target, *, edited: bool) -> str:
    choice, joins, follows, excused = "NULL::int4", "", "false", "false"
    if edited:
        choice, follows = "c.policy", _follows(target)
        joins = f"JOIN {target.stage} s ON s.ordinal = r.ordinal LEFT JOIN {CHOSEN} ON c.ordinal = r.ordinal"
        excused = f"({_excused(target)} OR {follows})"
    both = f"({Decision.MERGE:d}, {Decision.OVERWRITE:d})"
    return f"""
        SELECT r.ordinal, r.old_pk, r.decision, r.suffixed, r.new_pk, r.problem, p.decision, p.suffixed, p.new_pk,
            md5(to_jsonb(t)::text) IS DISTINCT FROM p.before AS changed, {choice}
        FROM {target.resolved} r {joins}
        LEFT JOIN LATERAL (
            SELECT * FROM import_row w WHERE w.import_id = %(plan_id)s AND w.model = '{target.model}'
                AND w.old_pk = r.old_pk AND w.ordinal = r.ordinal LIMIT 1) p ON true
        LEFT JOIN LATERAL (
            SELECT * FROM {target.table} w WHERE w.id = r.new_pk AND r.decision = {Decision.OVERWRITE:d} LIMIT 1) t
            ON true
        WHERE r.decision IS DISTINCT FROM p.decision AND NOT {excused}
            OR r.decision = {Decision.SUFFIX:d} AND p.decision = {Decision.SUFFIX:d}
                AND r.suffixed IS DISTINCT FROM p.suffixed
            OR p.existing AND r.decision IN {both} AND r.new_pk <> p.new_pk
            OR r.told <> p.told AND r.decision IS NOT NULL AND (
                (r.told & ~{_OF_REFERENCES}) <> (p.told & ~{_OF_REFERENCES}) OR NOT {follows})
            OR r.decision = {Decision.OVERWRITE:d} AND p.existing AND md5(to_jsonb(t)::text) IS DISTINCT FROM p.before
        ORDER BY r.ordinal LIMIT {_TOLD_MAX}
    """


def _excused(target: Target) -> str:
    """Whether another decision is what the row's choice says, or comes from what is done with other rows of the file.

    Models without policies are unique within what the import itself makes, but for what is renewed or cleared.
    """
    not_unique = f"r.problem = '{WriteKind.NOT_UNIQUE.value}'"
    had_no_place = f"p.decision = {Decision.SUFFIX:d} OR p.decision = {Decision.MERGE:d} AND NOT p.existing"
    excuses = [
        f"c.policy IS NOT NULL AND (r.decision IS NOT NULL OR c.policy = {Policy.SKIP:d} AND {not_unique})",
        f"r.decision = {Decision.INSERT:d} AND (p.decision IS NULL OR {had_no_place})",
    ]
    if target.model not in POLICIES:
        excuses.append(
            f"p.decision = {Decision.INSERT:d} AND (r.decision = {Decision.MERGE:d} OR COALESCE({not_unique}, false))"
        )
    return " OR ".join(f"COALESCE({each}, false)" for each in excuses)


def _follows(target: Target) -> str:
    """Whether something that the row refers to is treated otherwise than planned."""

    def decided(reference: Reference, of: str) -> str:
        return (
            f"(SELECT m.decision FROM import_row m WHERE m.import_id = %({of})s AND m.model = '{reference.model}'"
            f" AND m.old_pk = s.{reference.field} LIMIT 1)"
        )

    differing = [
        f"{decided(each, 'plan_id')} IS DISTINCT FROM {decided(each, 'import_id')}" for each in target.references
    ]
    return f"({' OR '.join(differing)})" if differing else "false"


def _finding(model: str, row: tuple[Any, ...]) -> BatchFinding:
    ordinal, old_pk, decision, name, new_pk, problem, planned, planned_name, planned_pk, changed, choice = row
    now, then = _words(decision, name, new_pk, problem), _words(planned, planned_name, planned_pk, None)
    if decision == Decision.OVERWRITE and changed and new_pk == planned_pk:
        now = "it holds other values than then"
    elif now == then:
        now = "the same, but one of its values or references is taken, free or missing that was not then"
    chosen = "" if choice is None else f", changed to {Policy(choice).name.lower()}"
    reason = f"the plan says: {then}{chosen}; now: {now}"
    return BatchFinding.of_write(WriteKind.DRIFTED.value, model, ordinal, old_pk, field="", reason=reason, skipped=True)


def _words(decision: int | None, name: str | None, new_pk: int | None, problem: str | None) -> str:
    if decision is None:
        return f"skipped ({problem})" if problem else "skipped"
    if decision == Decision.SUFFIX:
        return f'written as "{name}"'
    if decision in (Decision.MERGE, Decision.OVERWRITE):
        return f"{Decision(decision).name.lower()} with row {new_pk}"
    return "inserted"
