"""Projects' rows and their keys: reading, making, and holding some of them while something below them is written."""

from collections.abc import Collection

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from region_silo.members.access import may_see
from region_silo.projects.domain import FLAG_HAS_RELEASES, KEY_LABEL, Project, ProjectKeyPair
from region_silo.schema import METADATA
from shared.database import Transaction

project = Table(
    "project",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("platform", Text),
    Column("status", Integer, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("first_event", DateTime(timezone=True)),
    Column("forced_color", Text),
    Column("template_id", BigInteger),
    Column("date_added", DateTime(timezone=True), nullable=False),
    Column("version", BigInteger, nullable=False),
)

project_key = Table(
    "project_key",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("label", Text),
    Column("public_key", Text, nullable=False),
    Column("secret_key", Text, nullable=False),
    Column("roles", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("rate_limit_count", Integer),
    Column("rate_limit_window", Integer),
    Column("data", JSONB, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("date_added", DateTime(timezone=True)),
)

_SHOWN = select(
    project.c.id,
    project.c.organization_id,
    project.c.slug,
    project.c.name,
    project.c.platform,
    project.c.date_added,
)


def by_id(transaction: Transaction, project_id: int) -> Project | None:
    """The row with that id, of any organization."""
    return _one(transaction, project.c.id == project_id)


def by_slug(transaction: Transaction, organization_id: int, slug: str) -> Project | None:
    """The organization's row with that slug."""
    return _one(transaction, (project.c.organization_id == organization_id) & (project.c.slug == slug))


def ids_by_slugs(transaction: Transaction, organization_id: int, slugs: Collection[str]) -> dict[str, int]:
    """The ids of the organization's projects with these slugs, by slug."""
    statement = select(project.c.slug, project.c.id).where(
        project.c.organization_id == organization_id, project.c.slug.in_(sorted(slugs))
    )
    return {row.slug: row.id for row in transaction.execute(statement)}


def sees(transaction: Transaction, organization_id: int, project_id: int, user_id: int) -> bool:
    """Whether the user sees the organization's project with that id."""
    statement = select(project.c.id).where(
        project.c.id == project_id,
        project.c.organization_id == organization_id,
        may_see(project.c.id, organization_id, user_id),
    )
    return transaction.execute(statement).one_or_none() is not None


def after_id(
    transaction: Transaction, organization_id: int, after: int, limit: int, user_id: int | None = None
) -> list[Project]:
    """At most `limit` rows of the organization that the caller sees, with an id above `after`, ascending."""
    statement = (
        _SHOWN.where(
            project.c.organization_id == organization_id,
            project.c.id > after,
            may_see(project.c.id, organization_id, user_id),
        )
        .order_by(project.c.id)
        .limit(limit)
    )
    return [_shown(row) for row in transaction.execute(statement)]


def insert_project(transaction: Transaction, row: Project) -> bool:
    """Write a new project; False, and nothing written, when its organization has the slug already."""
    statement = (
        upsert(project)
        .values(
            id=row.id,
            organization_id=row.organization_id,
            slug=row.slug,
            name=row.name,
            platform=row.platform or None,
            status=0,
            flags=0,
            public=False,
            date_added=row.date_added,
            version=1,
        )
        .on_conflict_do_nothing(constraint="project_organization_id_slug_key")
        .returning(project.c.id)
    )
    return transaction.execute(statement).one_or_none() is not None


def insert_key(transaction: Transaction, row: Project, pair: ProjectKeyPair) -> None:
    """Write the key that a new project starts with."""
    transaction.execute(
        insert(project_key).values(
            organization_id=row.organization_id,
            project_id=row.id,
            label=KEY_LABEL,
            public_key=pair.public_key,
            secret_key=pair.secret_key,
            roles=1,
            status=0,
            data={},
            use_case="user",
            date_added=row.date_added,
        )
    )


def hold(
    transaction: Transaction, organization_id: int, project_ids: Collection[int], user_id: int | None = None
) -> set[int]:
    """Keep these projects from being deleted until the transaction ends; the ids that the organization has.

    With a `user_id` those that the user sees.
    """
    statement = (
        select(project.c.id)
        .where(
            project.c.id.in_(sorted(project_ids)),
            project.c.organization_id == organization_id,
            may_see(project.c.id, organization_id, user_id),
        )
        .order_by(project.c.id)
        .with_for_update(read=True, key_share=True)
    )
    return set(transaction.execute(statement).scalars())


def flag_has_releases(transaction: Transaction, project_ids: Collection[int]) -> None:
    """Note that these projects have releases; those where it is noted already are not touched."""
    unflagged = (
        select(project.c.id)
        .where(project.c.id.in_(sorted(project_ids)), project.c.flags.op("&")(FLAG_HAS_RELEASES) == 0)
        .order_by(project.c.id)
        .with_for_update(key_share=True)
    )
    transaction.execute(
        update(project)
        .where(project.c.id.in_(unflagged))
        .values(flags=project.c.flags.op("|")(FLAG_HAS_RELEASES), version=project.c.version + 1)
    )


def _one(transaction: Transaction, condition: ColumnElement[bool]) -> Project | None:
    row = transaction.execute(_SHOWN.where(condition)).one_or_none()
    return None if row is None else _shown(row)


def _shown(row: tuple[object, ...]) -> Project:
    project_id, organization_id, slug, name, platform, date_added = row
    return Project(project_id, organization_id, slug, name, platform or "", date_added)  # type: ignore[arg-type]
