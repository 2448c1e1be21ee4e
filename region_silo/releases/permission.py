"""Who may read and who may change a release: the rule has_release_permission, as conditions of the statements that ask.

Reading takes one accessible project of the release, changing all of them; a release without projects is nobody's. Who
has no permission hears what it would hear of a release that is not there. Sources: spec/releases.md 2.1, 2.2 (the later
rule for mutations) and 4.2 (11). Nothing here is cached, so access that is given or taken counts with the next call.
"""

from functools import lru_cache

from sqlalchemy import BigInteger, ColumnElement, Select, and_, bindparam, not_, select

from region_silo.members.access import may_see
from region_silo.releases.tables import release, release_project
from shared.database import Transaction
from shared.statements import Statement

ORGANIZATION_ID = bindparam("organization_id", type_=BigInteger)
USER_ID = bindparam("user_id", type_=BigInteger)
"""The caller's user in statements that are made once and asked with many values; see `asking`."""

_RELEASE_ID = bindparam("release_id", type_=BigInteger)


def asking(organization_id: int, user_id: int | None, **values: object) -> dict[str, object]:
    """The values of a statement that was made with ORGANIZATION_ID and, when there is a user, with USER_ID."""
    known: dict[str, object] = {"organization_id": organization_id, **values}
    return known if user_id is None else {**known, "user_id": user_id}


def is_readable(
    organization_id: int | ColumnElement[int], user_id: int | ColumnElement[int] | None
) -> ColumnElement[bool]:
    """Whether the caller sees a project of the release of the enclosing FROM."""
    seen = _projects().where(may_see(release_project.c.project_id, organization_id, user_id))
    return seen.correlate(release).exists()


def is_changeable(
    organization_id: int | ColumnElement[int], user_id: int | ColumnElement[int] | None
) -> ColumnElement[bool]:
    """Whether the caller sees every project of the release of the enclosing FROM, which has one at least."""
    if user_id is None:
        return is_readable(organization_id, None)
    return and_(is_readable(organization_id, user_id), not_(_has_unseen(organization_id, user_id)))


def has_release_permission(
    transaction: Transaction, organization_id: int, release_id: int, user_id: int | None
) -> bool:
    """Whether the caller may change the release as it stands now; for who holds its row already.

    A caller without a user has it with every release that it could hold.
    """
    if user_id is None:
        return True
    values = asking(organization_id, user_id, release_id=release_id)
    return transaction.one(_changeable(), values) is not None


def has_unseen_project(transaction: Transaction, organization_id: int, release_id: int, user_id: int | None) -> bool:
    """Whether the release has a project that the caller may not see."""
    if user_id is None:
        return False
    values = asking(organization_id, user_id, release_id=release_id)
    return transaction.one(_with_unseen(), values) is not None


@lru_cache(maxsize=1)
def _changeable() -> Statement:
    return Statement(select(release.c.id).where(release.c.id == _RELEASE_ID, is_changeable(ORGANIZATION_ID, USER_ID)))


@lru_cache(maxsize=1)
def _with_unseen() -> Statement:
    return Statement(select(release.c.id).where(release.c.id == _RELEASE_ID, _has_unseen(ORGANIZATION_ID, USER_ID)))


def _has_unseen(organization_id: int | ColumnElement[int], user_id: int | ColumnElement[int]) -> ColumnElement[bool]:
    unseen = _projects().where(not_(may_see(release_project.c.project_id, organization_id, user_id)))
    return unseen.correlate(release).exists()


def _projects() -> Select[tuple[int]]:
    return select(release_project.c.id).where(release_project.c.release_id == release.c.id)
