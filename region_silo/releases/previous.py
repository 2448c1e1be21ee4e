"""Which release comes before one: where the commits of a repository's head begin when nobody says.

For each repository it is the newest release strictly before, by (release time or else creation, id), that shares a
project, has a head of that repository, and, when asked, was seen in the environment. So a range never begins after its
end, nor at a release that knows nothing of the repository. Rules: spec/releases.md 4.1 ("wrong range"), 4.2 (7).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from shared.database import Transaction

_NAMES_SHOWN = 10

_FIND = text(
    """
    SELECT asked.repository_id, before.id, before.version, before.key, before.at
    FROM release own, unnest(CAST(:repository_ids AS bigint[])) AS asked (repository_id),
        LATERAL (
            SELECT other.id, other.version, commit.key, coalesce(other.date_released, other.date_added) AS at
            FROM release_head_commit head
            JOIN release other ON other.id = head.release_id
            JOIN commit ON commit.id = head.commit_id
            WHERE head.repository_id = asked.repository_id
                AND other.organization_id = own.organization_id
                AND (coalesce(other.date_released, other.date_added), other.id)
                    < (coalesce(own.date_released, own.date_added), own.id)
                AND EXISTS (
                    SELECT FROM release_project mine
                    JOIN release_project theirs ON theirs.project_id = mine.project_id
                    WHERE mine.release_id = own.id AND theirs.release_id = other.id
                )
                AND (CAST(:environment AS text) = '' OR EXISTS (
                    SELECT FROM release_environment seen JOIN environment ON environment.id = seen.environment_id
                    WHERE seen.release_id = other.id AND environment.name = :environment
                ))
            ORDER BY at DESC, other.id DESC LIMIT 1
        ) before
    WHERE own.id = :release_id
    ORDER BY before.at DESC, before.id DESC, asked.repository_id
    """
)


@dataclass(frozen=True)
class Previous:
    """The newest of the releases before (None: there is none), why that one, and where to begin, by repository."""

    release_id: int | None
    reason: str
    heads: Mapping[str, str]


def find_previous(
    transaction: Transaction, release_id: int, repositories: Mapping[str, int], environment: str
) -> Previous:
    """What comes before the release for these repositories (name to id); an empty environment means all."""
    values = {
        "release_id": release_id,
        "repository_ids": sorted(set(repositories.values())),
        "environment": environment,
    }
    rows = {row.repository_id: row for row in transaction.execute(_FIND, values)}
    heads = {name: rows[number].key for name, number in repositories.items() if number in rows}
    if not rows:
        return Previous(None, f"no earlier release {_where(environment)} has a head of {_listed(repositories)}", {})
    return Previous(next(iter(rows.values())).id, _reason(repositories, rows, environment), heads)


def _reason(repositories: Mapping[str, int], rows: Mapping[int, Row[Any]], environment: str) -> str:
    """One sentence for each release that was chosen, the newest first, and one for repositories without one."""
    chosen: dict[str, list[str]] = {row.version: [] for row in rows.values()}
    without = []
    for name, number in sorted(repositories.items()):
        if number in rows:
            chosen[rows[number].version].append(name)
        else:
            without.append(name)
    told = [
        f"{version} is the newest earlier release {_where(environment)} with a head of {_listed(names)}"
        for version, names in list(chosen.items())[:_NAMES_SHOWN]
    ]
    if without:
        told.append(f"none has a head of {_listed(without)}")
    return "; ".join(told)


def _where(environment: str) -> str:
    return f"of its projects in {environment}" if environment else "of its projects"


def _listed(names: Mapping[str, int] | list[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMES_SHOWN
    return ", ".join(ordered[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
