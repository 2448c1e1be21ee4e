"""Gives rows of a batch that applies a plan the policies that were chosen for them, one by one, instead of the model's.

It runs when resolve has decided and changes only rows with a choice whose unique values are taken, in the target or by
an earlier row of the batch; one whose values are free is inserted whatever was chosen. Each model with policies has one
unique set, and the policy that knows the most writes whatever any of them decides.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import psycopg

from shared.importing.decisions import Decision, WriteKind
from shared.importing.policies import MEANS, POLICIES, Policy
from shared.importing.statements import suffix_statements
from shared.importing.targets import Target

_BY_WRITES = (Policy.SUFFIX, Policy.OVERWRITE, Policy.MERGE)
"""A policy before those that write less; no model knows the first two."""


class Choice(NamedTuple):
    """The number of a Policy, which the model knows, for the row with the ordinal."""

    ordinal: int
    policy: int


CHOSEN = "unnest(%(chosen)s::int8[], %(policies)s::int2[]) AS c (ordinal, policy)"
"""Choices as a table, of the parameters that `as_parameters` makes."""


def as_parameters(choices: Sequence[Choice]) -> dict[str, list[int]]:
    """What CHOSEN needs."""
    return {"chosen": [each.ordinal for each in choices], "policies": [each.policy for each in choices]}


def choose(driver: "psycopg.Connection[Any]", target: Target, choices: Sequence[Choice]) -> Target:
    """Change what resolve left of the batch as chosen, and return the target whose statements write it."""
    widest = _widest(target)
    driver.execute(_choosing(widest).encode(), as_parameters(choices))
    return widest


@cache
def _widest(target: Target) -> Target:
    conflict = next(MEANS[each] for each in _BY_WRITES if each in POLICIES[target.model])
    (unique,) = target.unique
    return replace(target, unique=(replace(unique, conflict=conflict),))


@cache
def _choosing(target: Target) -> str:
    (unique,) = target.unique
    resolved, held = target.resolved, suffix_statements(target, unique).held_by(f"r.{unique.subject}")
    counts = " AND ".join(
        [
            f"(r.problem IS NULL OR r.problem = '{WriteKind.NOT_UNIQUE.value}')",
            *(f"r.{each} IS NOT NULL" for each in unique.columns),
        ]
    )
    columns = [f"r.{each}" for each in unique.columns]
    keys = ", ".join([*columns[:-1], f"lower({columns[-1]})" if unique.folded else columns[-1]])
    overwrites = f"COALESCE(c.policy, r.decision) = {Policy.OVERWRITE:d}"
    skipped = f"d.policy = {Policy.SKIP:d}"
    return f"""
        WITH placed AS MATERIALIZED (
            SELECT r.ordinal, c.policy, s.new_pk AS own_pk, {", ".join(columns)}, {counts} AS counts,
                row_number() OVER (same ORDER BY r.ordinal) AS place,
                first_value(r.new_pk) OVER (same ORDER BY r.ordinal) AS first_pk,
                min(r.ordinal) FILTER (WHERE {overwrites}) OVER same AS overwriting
            FROM {resolved} r JOIN {target.stage} s ON s.ordinal = r.ordinal
            LEFT JOIN {CHOSEN} ON c.ordinal = r.ordinal
            WINDOW same AS (PARTITION BY {counts}, {keys})
        ), decided AS MATERIALIZED (
            SELECT r.ordinal, r.policy, r.own_pk, COALESCE(held.id, r.first_pk) AS other_pk,
                held.id IS NOT NULL AND r.overwriting = r.ordinal AS overwrites
            FROM placed r LEFT JOIN LATERAL ({held}) held ON true
            WHERE r.policy IS NOT NULL AND r.counts AND (r.place > 1 OR held.id IS NOT NULL)
        )
        UPDATE {resolved} r SET
            decision = CASE
                WHEN {skipped} THEN NULL
                WHEN d.policy = {Policy.SUFFIX:d} THEN {Decision.SUFFIX:d}
                WHEN d.policy = {Policy.OVERWRITE:d} AND d.overwrites THEN {Decision.OVERWRITE:d}
                ELSE {Decision.MERGE:d}
            END,
            new_pk = CASE
                WHEN {skipped} THEN NULL
                WHEN d.policy = {Policy.SUFFIX:d} THEN d.own_pk
                ELSE d.other_pk
            END,
            problem = CASE WHEN {skipped} THEN '{WriteKind.NOT_UNIQUE.value}' END,
            problem_field = CASE WHEN {skipped} THEN '{unique.told_field}' END
        FROM decided d WHERE r.ordinal = d.ordinal
    """
