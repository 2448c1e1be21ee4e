"""What becomes of rows whose unique values are taken, where whoever imports has chosen: one policy a model, or a row of
it in a plan (shared.importing.choices).

A policy takes the place of what the model's unique sets do without one. Keys and tokens that are taken are always
renewed or cleared, and what is unique within one organization of the file is never merged with another row.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from functools import cache

from shared.importing.kept_rules import CONFIGURATION, MERGED
from shared.importing.targets import Conflict, Target, UniqueSet


class Policy(IntEnum):
    """What to do with a row whose unique values are taken; the numbers stand in rows and on the wire."""

    SKIP = 1
    MERGE = 2
    OVERWRITE = 3
    SUFFIX = 4


POLICIES: Mapping[str, frozenset[Policy]] = {
    "sentry.user": frozenset({Policy.SKIP, Policy.MERGE, Policy.SUFFIX}),
    "sentry.team": frozenset({Policy.SKIP, Policy.SUFFIX}),
    "sentry.project": frozenset({Policy.SKIP, Policy.SUFFIX}),
    **dict.fromkeys(CONFIGURATION, frozenset({Policy.SKIP, Policy.MERGE, Policy.OVERWRITE})),
    **dict.fromkeys(MERGED, frozenset({Policy.SKIP, Policy.MERGE})),
}
"""The policies that each model knows."""

MEANS = {
    Policy.SKIP: Conflict.SKIP,
    Policy.MERGE: Conflict.MERGE,
    Policy.OVERWRITE: Conflict.OVERWRITE,
    Policy.SUFFIX: Conflict.SUFFIX,
}
"""What each of them does."""


@cache
def with_policy(target: Target, policy: int | None) -> Target:
    """The target with the policy in place of what it does; the same without one, or with one that it does not know."""
    if policy is None or policy not in POLICIES.get(target.model, ()):
        return target
    return replace(target, unique=tuple(_changed(each, Policy(policy)) for each in target.unique))


def _changed(unique: UniqueSet, policy: Policy) -> UniqueSet:
    changes = unique.conflict in (Conflict.SUFFIX, Conflict.MERGE, Conflict.OVERWRITE)
    return replace(unique, conflict=MEANS[policy]) if changes else unique
