"""Holding a release's row: writers of one release take turns on it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, bindparam, select, true

from region_silo.organizations.lookup import check_active, hold_active
from region_silo.organizations.store import held_organization
from region_silo.releases.domain import ReleaseFields, ReleaseState, etag_of
from region_silo.releases.permission import ORGANIZATION_ID, USER_ID, asking, is_changeable
from region_silo.releases.tables import release
from shared.database import Transaction
from shared.statements import Statement

# The organization's lock is taken first: the release is looked for by what that found.
_WITH_ORGANIZATION = Statement(
    """
    WITH place AS MATERIALIZED (
        SELECT id, state, deletion, purge_at FROM organization WHERE id = :organization_id FOR SHARE
    )
    SELECT place.state, place.deletion, place.purge_at, held.*
    FROM place LEFT JOIN LATERAL (
        SELECT release.id, release.version, release.ref, release.url, release.date_released, release.status,
            release.owner_id, release.row_version
        FROM release
        WHERE release.organization_id = place.id AND release.version = :version
            AND EXISTS (SELECT FROM release_project WHERE release_project.release_id = release.id)
        FOR UPDATE
    ) AS held ON true
    """
)


@dataclass(frozen=True)
class HeldRelease:
    """A release's row that nobody else changes until the transaction ends."""

    id: int
    version: str
    fields: ReleaseFields
    etag: str


def hold(transaction: Transaction, organization_id: int, version: str) -> HeldRelease | None:
    """Lock the release for writing, waiting for other writers up to the deadline; None when there is no such one."""
    return _hold(transaction, _one_of(changeable=False, as_user=False), asking(organization_id, None, version=version))


def hold_changeable(
    transaction: Transaction, organization_id: int, version: str, user_id: int | None
) -> HeldRelease | None:
    """As `hold`, but one that the caller may not change is not there and is not waited for.

    Who got it after waiting asks has_release_permission again: the wait's end may have brought a project.
    """
    statement = _one_of(changeable=True, as_user=user_id is not None)
    return _hold(transaction, statement, asking(organization_id, user_id, version=version))


def hold_below_active(
    transaction: Transaction, organization_id: int, version: str, user_id: int | None
) -> HeldRelease | None:
    """`hold_active`, then `hold_changeable`; one statement for a caller without a user. Raises as the former."""
    if user_id is not None:
        hold_active(transaction, organization_id)
        return hold_changeable(transaction, organization_id, version, user_id)
    values = {"organization_id": organization_id, "version": version}
    row = transaction.one(_WITH_ORGANIZATION, values)
    check_active(None if row is None else held_organization(row.state, row.deletion, row.purge_at), organization_id)
    return None if row is None or row.id is None else _held(row)


def _hold(transaction: Transaction, statement: Statement, values: dict[str, object]) -> HeldRelease | None:
    row = transaction.one(statement, values)
    return None if row is None else _held(row)


def _held(row: Any) -> HeldRelease:
    fields = ReleaseFields(row.ref or "", row.url or "", row.date_released, ReleaseState(row.status), row.owner_id)
    return HeldRelease(row.id, row.version, fields, etag_of(row.id, row.row_version))


@lru_cache(maxsize=4)
def _one_of(*, changeable: bool, as_user: bool) -> Statement:
    return Statement(
        select(
            release.c.id,
            release.c.version,
            release.c.ref,
            release.c.url,
            release.c.date_released,
            release.c.status,
            release.c.owner_id,
            release.c.row_version,
        )
        .where(
            release.c.organization_id == ORGANIZATION_ID,
            release.c.version == bindparam("version", type_=Text),
            is_changeable(ORGANIZATION_ID, USER_ID if as_user else None) if changeable else true(),
        )
        .with_for_update()
    )
