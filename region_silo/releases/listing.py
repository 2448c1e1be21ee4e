"""The SQL of lists of releases: every order has its keyset, and a statement is made once for each shape of question.

Orders end in the id, so that pages meet without gap or repeat. By version there are two stretches: releases whose
version has numbers, highest first, then all others, newest first; each is one statement on an index of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Select, bindparam, column, select, text

from region_silo.members.access import may_see
from region_silo.projects.store import project
from region_silo.releases.domain import Release, ReleaseState
from region_silo.releases.permission import ORGANIZATION_ID, USER_ID, asking, is_readable
from region_silo.releases.query_conditions import Conditions
from region_silo.releases.store import release_of, shown
from region_silo.releases.tables import release
from shared.database import Transaction

Position = tuple[int | str | datetime, ...]

_SHAPES_MAX = 256
_FINAL = "CASE WHEN release.prerelease = '' THEN 1 ELSE 0 END"
_ADOPTION = """
    SELECT coalesce(CAST(floor(extract(epoch FROM max(told.adopted)) * 1000000) AS bigint), -1) AS adoption
    FROM release_project_environment AS told JOIN environment AS place ON place.id = told.environment_id
    WHERE told.release_id = release.id {places}"""
_IN_ENVIRONMENT = """EXISTS (
    SELECT FROM release_environment AS seen JOIN environment AS place ON place.id = seen.environment_id
    WHERE seen.release_id = release.id AND place.organization_id = :organization_id
        AND place.name = ANY(CAST(:environments AS text[])))"""
_IN_PROJECT = """EXISTS (
    SELECT FROM release_project AS link
    WHERE link.release_id = release.id AND link.project_id = ANY(CAST(:project_ids AS bigint[])))"""
_OF_LATEST_ENVIRONMENT = _IN_ENVIRONMENT.replace("release.id", "newest.id")


class ReleaseOrder(Enum):
    """The orders of lists, by the words of the contract."""

    DATE = "date"
    BUILD = "build"
    SEMVER = "semver"
    ADOPTION = "adoption"


@dataclass(frozen=True)
class ReleaseFilter:
    """Which releases a list shows, in which order. None and empty are no filter."""

    organization_id: int
    user_id: int | None
    state: ReleaseState | None = ReleaseState.OPEN
    project_ids: tuple[int, ...] | None = None
    environments: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    order: ReleaseOrder = ReleaseOrder.DATE


def position_types(order: ReleaseOrder) -> list[list[type]]:
    """What a position of that order may consist of."""
    if order is ReleaseOrder.SEMVER:
        return [[int, int, int, int, int, str, datetime, int], [datetime, int]]
    if order is ReleaseOrder.ADOPTION:
        return [[int, datetime, int]]
    return [[int, int]] if order is ReleaseOrder.BUILD else [[datetime, int]]


def releases_after(
    transaction: Transaction, wanted: ReleaseFilter, conditions: Conditions, after: Position | None, limit: int
) -> list[tuple[Release, Position]]:
    """At most `limit` releases that the caller may read with their positions, from behind `after` on.

    One statement, or two by version.
    """
    if wanted.order is not ReleaseOrder.SEMVER:
        return _stretch(transaction, (wanted, conditions), wanted.order.value, after, limit)
    found: list[tuple[Release, Position]] = []
    if after is None or len(after) > 2:
        found = _stretch(transaction, (wanted, conditions), "semver", after, limit)
        after = None
    if len(found) < limit:
        found += _stretch(transaction, (wanted, conditions), "unnumbered", after, limit - len(found))
    return found


def latest_ids(transaction: Transaction, wanted: ReleaseFilter) -> list[int]:
    """The newest release by (date_added, id) of each of the asked projects that the caller sees."""
    as_user, of_projects = wanted.user_id is not None, wanted.project_ids is not None
    statement = _latest(as_user=as_user, of_projects=of_projects, of_environments=bool(wanted.environments))
    return sorted(set(transaction.execute(statement, _values(wanted)).scalars()) - {None})


def _stretch(
    transaction: Transaction,
    question: tuple[ReleaseFilter, Conditions],
    stretch: str,
    after: Position | None,
    limit: int,
) -> list[tuple[Release, Position]]:
    wanted, asked = question
    conditions, values = _asked(wanted)
    values.update(asked.values)
    if after is not None:
        values.update({f"after{index}": part for index, part in enumerate(after)})
    statement = _listed(
        (*asked.texts, *conditions),
        stretch,
        as_user=wanted.user_id is not None,
        is_next=after is not None,
        adoption=_adoption(wanted) if stretch == "adoption" else "",
    )
    rows = transaction.execute(statement, {**values, "limit": limit})
    return [(release_of(row, whole=False), _position(row, stretch)) for row in rows]


def _asked(wanted: ReleaseFilter) -> tuple[list[str], dict[str, Any]]:
    """The filter as conditions, with all the values that statements about it may need."""
    values = _values(wanted)
    conditions = []
    if wanted.state is not None:
        conditions.append("release.status = CAST(:status AS smallint)")
        values["status"] = wanted.state.value
    if wanted.project_ids is not None:
        conditions.append(_IN_PROJECT)
    if wanted.environments:
        conditions.append(_IN_ENVIRONMENT)
    if wanted.start is not None:
        conditions.append("release.date_added >= CAST(:start AS timestamptz)")
        values["start"] = wanted.start
    if wanted.end is not None:
        conditions.append("release.date_added <= CAST(:end AS timestamptz)")
        values["end"] = wanted.end
    return conditions, values


def _values(wanted: ReleaseFilter) -> dict[str, Any]:
    values = asking(wanted.organization_id, wanted.user_id)
    if wanted.project_ids is not None:
        values["project_ids"] = list(wanted.project_ids)
    if wanted.environments:
        values["environments"] = list(wanted.environments)
    return values


def _adoption(wanted: ReleaseFilter) -> str:
    places = ""
    if wanted.environments:
        places += " AND place.name = ANY(CAST(:environments AS text[]))"
    if wanted.project_ids is not None:
        places += " AND told.project_id = ANY(CAST(:project_ids AS bigint[]))"
    return _ADOPTION.format(places=places)


@lru_cache(maxsize=_SHAPES_MAX)
def _listed(conditions: tuple[str, ...], stretch: str, *, as_user: bool, is_next: bool, adoption: str) -> Select[Any]:
    user_id = USER_ID if as_user else None
    order, where = _ORDERS[stretch]
    order = tuple(column.format(adoption=adoption) for column in order)
    statement = (
        shown(ORGANIZATION_ID, user_id)
        .add_columns(_scalar(adoption or "SELECT 0 AS adoption").label("adoption"))
        .where(release.c.organization_id == ORGANIZATION_ID, is_readable(ORGANIZATION_ID, user_id))
        .where(*(text(condition) for condition in (*where, *conditions)))
        .order_by(*(text(f"{column} DESC") for column in order))
        .limit(bindparam("limit", type_=BigInteger))
    )
    if is_next:
        behind = ", ".join(f"CAST(:after{index} AS {_type(column)})" for index, column in enumerate(order))
        statement = statement.where(text(f"({', '.join(order)}) < ({behind})"))
    return statement


_ORDERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "date": (("release.date_added", "release.id"), ()),
    "build": (("release.build_number", "release.id"), ("release.build_number IS NOT NULL",)),
    "semver": (
        (
            "release.major",
            "release.minor",
            "release.patch",
            "release.revision",
            _FINAL,
            'release.prerelease COLLATE "C"',
            "release.date_added",
            "release.id",
        ),
        ("release.major IS NOT NULL",),
    ),
    "unnumbered": (("release.date_added", "release.id"), ("release.major IS NULL",)),
    "adoption": (("({adoption})", "release.date_added", "release.id"), ()),
}


def _type(column: str) -> str:
    if column == "release.date_added":
        return "timestamptz"
    if column == _FINAL:
        return "integer"
    return "text" if column.startswith("release.prerelease") else "bigint"


def _position(row: Row[Any], stretch: str) -> Position:
    if stretch == "semver":
        is_final = 1 if row.prerelease == "" else 0
        numbers = (row.major, row.minor, row.patch, row.revision)
        return (*numbers, is_final, row.prerelease, row.date_added, row.id)
    if stretch == "build":
        return (row.build_number, row.id)
    return (row.adoption, row.date_added, row.id) if stretch == "adoption" else (row.date_added, row.id)


@lru_cache(maxsize=8)
def _latest(*, as_user: bool, of_projects: bool, of_environments: bool) -> Select[Any]:
    newest = _scalar(
        f"""SELECT newest.id FROM release_project AS link JOIN release AS newest ON newest.id = link.release_id
        WHERE link.project_id = project.id {f"AND {_OF_LATEST_ENVIRONMENT}" if of_environments else ""}
        ORDER BY newest.date_added DESC, newest.id DESC LIMIT 1"""
    )
    statement = (
        select(newest)
        .select_from(project)
        .where(
            project.c.organization_id == ORGANIZATION_ID,
            may_see(project.c.id, ORGANIZATION_ID, USER_ID if as_user else None),
        )
    )
    return statement.where(text("project.id = ANY(CAST(:project_ids AS bigint[]))")) if of_projects else statement


def _scalar(statement: str) -> ColumnElement[Any]:
    """The one number that a statement finds, which may speak of the rows of the enclosing FROM."""
    return text(statement).columns(column("number", BigInteger)).scalar_subquery()
