"""The terms of a query as SQL conditions on `release`: constant text with bound parameters, never a caller's text.

A condition's text depends on the shape of a term only, so that statements can be made once a shape. Conditions need
:organization_id, and :environments and :project_ids where those are asked for. Negated terms hold where the plain term
does not, also where a release has nothing to compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from region_silo.releases import query
from region_silo.releases.query import Term, build_number, like_pattern
from region_silo.releases.version_filter import VersionFilter, parse_version_filter
from shared.errors import InvalidArgument

_PARTS = ("release.major", "release.minor", "release.patch", "release.revision")
SEMVER = f"({', '.join(_PARTS)}, CASE WHEN release.prerelease = '' THEN 1 ELSE 0 END, release.prerelease COLLATE \"C\")"
"""The order of versions as the index has it."""

STAGE = """CASE WHEN told.adopted IS NULL THEN 'low_adoption' WHEN told.unadopted IS NULL THEN 'adopted'
    ELSE 'replaced' END"""
"""The stage of a row `told` of release_project_environment."""


@dataclass(frozen=True)
class Conditions:
    """What must hold of `release`, all at once, and the values that are bound."""

    texts: tuple[str, ...]
    values: Mapping[str, Any]


def conditions_of(
    terms: Sequence[Term], *, environments: Sequence[str], of_projects: bool, latest_ids: Sequence[int]
) -> Conditions:
    """The conditions of the terms. `latest_ids` are the releases that the word `latest` stands for.

    Raises InvalidArgument of `query`, also for release.stage without exactly one environment (row 26).
    """
    if any(term.key == query.STAGE for term in terms) and len(environments) != 1:
        raise InvalidArgument.of("query", "release.stage needs exactly one environment")
    texts: list[str] = []
    values: dict[str, Any] = {}
    for index, term in enumerate(terms):
        name = f"q{index}"
        if term.key == query.RELEASE:
            condition = _release(term, name, values, latest_ids)
        elif term.key == query.VERSION:
            condition = _version(term, name, values)
        elif term.key == query.BUILD:
            condition = _build(term, name, values)
        elif term.key == query.STAGE:
            values[name] = list(term.values)
            condition = _stage(name, negated=term.negated, of_projects=of_projects)
        elif term.key == query.PACKAGE:
            condition = _like_any("release.package", term.values, name, values)
        elif term.key == query.FINALIZED:
            tests = {"true": "release.date_released IS NOT NULL", "false": "release.date_released IS NULL"}
            condition = " OR ".join(tests[value] for value in sorted(set(term.values)))
        else:
            values[name] = contains_pattern(term.values[0])
            condition = f"release.version ILIKE :{name}"
        if term.negated and term.key != query.STAGE:
            condition = f"NOT coalesce(({condition}), false)"
        texts.append(f"({condition})")
    return Conditions(tuple(texts), values)


def asks_latest(terms: Sequence[Term]) -> bool:
    """Whether a term needs to know the latest releases."""
    return any(term.key == query.RELEASE and any(_is_latest(value) for value in term.values) for term in terms)


def contains_pattern(text: str) -> str:
    """The pattern of LIKE for texts that hold this one."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _release(term: Term, name: str, values: dict[str, Any], latest_ids: Sequence[int]) -> str:
    condition = _like_any("release.version", [v for v in term.values if not _is_latest(v)], name, values)
    if any(_is_latest(value) for value in term.values):
        values[f"{name}l"] = list(latest_ids)
        condition += f" OR release.id = ANY(CAST(:{name}l AS bigint[]))"
    return condition


def _version(term: Term, name: str, values: dict[str, Any]) -> str:
    parts = []
    for number, value in enumerate(term.values):
        wanted = parse_version_filter(value, term.operator)
        parts.append(f"({_one_version(wanted, term.operator, f'{name}_{number}', values)})")
    return " OR ".join(parts)


def _one_version(wanted: VersionFilter, operator: str, name: str, values: dict[str, Any]) -> str:
    numbers = [f"CAST(:{name}n{place} AS bigint)" for place in range(len(wanted.numbers))]
    values.update({f"{name}n{place}": number for place, number in enumerate(wanted.numbers)})
    conditions = ["release.major IS NOT NULL"]
    if len(numbers) == len(_PARTS):
        values[f"{name}f"] = 0 if wanted.prerelease else 1
        values[f"{name}p"] = wanted.prerelease
        row = f"({', '.join(numbers)}, CAST(:{name}f AS integer), CAST(:{name}p AS text))"
        conditions.append(f"{SEMVER} {operator} {row}")
    else:
        conditions += [f"{part} = {number}" for part, number in zip(_PARTS, numbers, strict=False)]
    if wanted.package:
        values[f"{name}k"] = wanted.package
        conditions.append(f"release.package = :{name}k")
    return " AND ".join(conditions)


def _build(term: Term, name: str, values: dict[str, Any]) -> str:
    if "" in term.values:
        return "true"
    numbers = [build_number(value) for value in term.values]
    if term.operator != "=":
        values[name] = numbers[0]
        return f"release.build_number {term.operator} CAST(:{name} AS bigint)"
    values[f"{name}n"] = [number for number in numbers if number is not None]
    texts = [value for value, number in zip(term.values, numbers, strict=True) if number is None]
    condition = f"release.build_number = ANY(CAST(:{name}n AS bigint[]))"
    return f"{condition} OR {_like_any('release.build_code', texts, name, values)}" if texts else condition


def _stage(name: str, *, negated: bool, of_projects: bool) -> str:
    holds = "<> ALL" if negated else "= ANY"
    projects = "AND told.project_id = ANY(CAST(:project_ids AS bigint[]))" if of_projects else ""
    return f"""EXISTS (
        SELECT FROM release_project_environment AS told
        JOIN environment AS place ON place.id = told.environment_id
        WHERE told.release_id = release.id AND place.organization_id = :organization_id
            AND place.name = ANY(CAST(:environments AS text[])) {projects}
            AND {STAGE} {holds} (CAST(:{name} AS text[])))"""


def _like_any(column: str, wanted: Sequence[str], name: str, values: dict[str, Any]) -> str:
    """Equal to one of the texts, or like one of those with "*"."""
    exact = [value for value in wanted if "*" not in value]
    patterns = [like_pattern(value) for value in wanted if "*" in value]
    values[name] = exact
    condition = f"{column} = ANY(CAST(:{name} AS text[]))"
    if not patterns:
        return condition
    values[f"{name}w"] = patterns
    return f"{condition} OR {column} LIKE ANY(CAST(:{name}w AS text[]))"


def _is_latest(value: str) -> bool:
    return value.strip().lower() == query.LATEST
