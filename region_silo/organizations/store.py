"""Organizations' rows: reading them by id and slug, and holding one while something below it is written."""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    Row,
    SmallInteger,
    Table,
    Text,
    bindparam,
    select,
    true,
)

from region_silo.members.membership import is_member
from region_silo.organizations.domain import Organization, OrganizationState
from region_silo.schema import METADATA
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.statements import Statement

organization = Table(
    "organization",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("slug", Text),
    Column("base_slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("default_role", Text, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("is_test", Boolean, nullable=False),
    Column("date_added", DateTime(timezone=True), nullable=False),
    Column("import_id", BigInteger),
    Column("fence_version", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("deletion", SmallInteger, nullable=False),
    Column("purge_at", DateTime(timezone=True)),
)

_SHOWN = select(
    organization.c.id,
    organization.c.slug,
    organization.c.name,
    organization.c.state,
    organization.c.date_added,
    organization.c.deletion,
    organization.c.purge_at,
)


class HeldOrganization(NamedTuple):
    """What decides whether something below an organization may be written."""

    state: OrganizationState
    deletion: DeletionStage
    purge_at: datetime | None


def by_id(transaction: Transaction, organization_id: int) -> Organization | None:
    """The row with that id."""
    return _one(transaction, organization.c.id == organization_id)


def by_slug(transaction: Transaction, slug: str) -> Organization | None:
    """The row with that slug, whatever the case of the letters that were asked for."""
    return _one(transaction, organization.c.slug == slug.lower())


def after_id(
    transaction: Transaction,
    after: int,
    limit: int,
    only_id: int | None,
    user_id: int | None = None,
    *,
    show_deleted: bool = False,
) -> list[Organization]:
    """At most `limit` rows with an id above `after`, ascending; those that are being purged never.

    `only_id` leaves out all others, `user_id` those that the user is no member of.
    """
    last = DeletionStage.PENDING if show_deleted else DeletionStage.NONE
    statement = _SHOWN.where(organization.c.id > after, organization.c.deletion <= last)
    statement = statement.order_by(organization.c.id).limit(limit)
    if only_id is not None:
        statement = statement.where(organization.c.id == only_id)
    if user_id is not None:
        statement = statement.where(is_member(organization.c.id, user_id))
    return [_shown(row) for row in transaction.execute(statement)]


def knows(transaction: Transaction, organization_id: int, user_id: int) -> bool:
    """Whether the user is a member of the organization."""
    return bool(transaction.execute(select(is_member(organization_id, user_id))).scalar_one())


def hold(transaction: Transaction, organization_id: int, user_id: int | None = None) -> HeldOrganization | None:
    """Keep the row as it is until the transaction ends; None when there is no such row.

    With a `user_id` there is none for who is not its member.
    """
    values = {"organization_id": organization_id}
    if user_id is not None:
        values["user_id"] = user_id
    row = transaction.one(_held(as_user=user_id is not None), values)
    return None if row is None else held_organization(row.state, row.deletion, row.purge_at)


def held_organization(state: int, deletion: int, purge_at: datetime | None) -> HeldOrganization:
    """What decides, from the columns of a row that is held."""
    return HeldOrganization(OrganizationState(state), DeletionStage(deletion), purge_at)


@lru_cache(maxsize=2)
def _held(*, as_user: bool) -> Statement:
    """The statement of `hold`: every write below an organization begins with it."""
    organization_id = bindparam("organization_id", type_=BigInteger)
    return Statement(
        select(organization.c.state, organization.c.deletion, organization.c.purge_at)
        .where(
            organization.c.id == organization_id,
            is_member(organization_id, bindparam("user_id", type_=BigInteger)) if as_user else true(),
        )
        .with_for_update(read=True)
    )


def _one(transaction: Transaction, condition: ColumnElement[bool]) -> Organization | None:
    row = transaction.execute(_SHOWN.where(condition)).one_or_none()
    return None if row is None else _shown(row)


def _shown(row: Row[tuple[object, ...]]) -> Organization:
    return Organization(
        row.id,
        row.slug,
        row.name,
        OrganizationState(row.state),
        row.date_added,
        DeletionStage(row.deletion),
        row.purge_at,
    )
