"""Holding a release's row: writers of one release take turns on it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, Text, bindparam, select, true

from region_silo.releases.domain import ReleaseFields, ReleaseState, etag_of
from region_silo.releases.permission import ORGANIZATION_ID, USER_ID, asking, is_changeable
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
    return _hold(transaction, _one_of(changeable=False, as_user=False), asking(organization_id, None, version=version))


def hold_changeable(
    transaction: Transaction, organization_id: int, version: str, user_id: int | None
) -> HeldRelease | None:
    """As `hold`, but one that the caller may not change is not there and is not waited for.

    Who got it after waiting asks has_release_permission again: the wait's end may have brought a project.
    """
    statement = _one_of(changeable=True, as_user=user_id is not None)
    return _hold(transaction, statement, asking(organization_id, user_id, version=version))


def _hold(transaction: Transaction, statement: Select[Any], values: dict[str, object]) -> HeldRelease | None:
    row = transaction.execute(statement, values).one_or_none()
    if row is None:
        return None
    fields = ReleaseFields(row.ref or "", row.url or "", row.date_released, ReleaseState(row.status), row.owner_id)
    return HeldRelease(row.id, row.version, fields, etag_of(row.id, row.row_version))


@lru_cache(maxsize=4)
def _one_of(*, changeable: bool, as_user: bool) -> Select[Any]:
    """The statement, made once: building it costs more than running it."""
    return (
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
