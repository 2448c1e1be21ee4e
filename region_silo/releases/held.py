"""Holding a release's row: writers of one release take turns on it."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, true

from region_silo.releases.domain import ReleaseFields, ReleaseState, etag_of
from region_silo.releases.permission import is_changeable
from region_silo.releases.tables import release
from shared.database import Transaction


@dataclass(frozen=True)
class HeldRelease:
    """A release's row that nobody else changes until the transaction ends."""

    id: int
    version: str
    fields: ReleaseFields
    etag: str


def hold(transaction: Transaction, organization_id: int, version: str) -> HeldRelease | None:
    """Lock the release for writing, waiting for other writers up to the deadline; None when there is no such one."""
    return _hold(transaction, organization_id, version, true())


def hold_changeable(
    transaction: Transaction, organization_id: int, version: str, user_id: int | None
) -> HeldRelease | None:
    """As `hold`, but one that the caller may not change is not there and is not waited for.

    Who got it after waiting asks has_release_permission again: the wait's end may have brought a project.
    """
    return _hold(transaction, organization_id, version, is_changeable(organization_id, user_id))


def _hold(
    transaction: Transaction, organization_id: int, version: str, condition: ColumnElement[bool]
) -> HeldRelease | None:
    statement = (
        select(
            release.c.id,
            release.c.version,
            release.c.ref,
            release.c.url,
            release.c.date_released,
            release.c.status,
            release.c.row_version,
        )
        .where(release.c.organization_id == organization_id, release.c.version == version, condition)
        .with_for_update()
    )
    row = transaction.execute(statement).one_or_none()
    if row is None:
        return None
    fields = ReleaseFields(row.ref or "", row.url or "", row.date_released, ReleaseState(row.status))
    return HeldRelease(row.id, row.version, fields, etag_of(row.id, row.row_version))
