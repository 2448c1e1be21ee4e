"""The tables of releases and commits as queries see them; migrations 0004 and 0016 create them."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from region_silo.schema import METADATA

ACTIVITY_RELEASE = 10
REPOSITORY_ACTIVE = 0

release = Table(
    "release",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("ref", Text),
    Column("url", Text),
    Column("date_added", DateTime(timezone=True), nullable=False),
    Column("date_released", DateTime(timezone=True)),
    Column("data", JSONB, nullable=False),
    Column("owner_id", BigInteger),
    Column("commit_count", Integer, nullable=False),
    Column("last_commit_id", BigInteger),
    Column("authors", ARRAY(Text), nullable=False),
    Column("total_deploys", Integer, nullable=False),
    Column("last_deploy_id", BigInteger),
    Column("package", Text),
    Column("major", BigInteger),
    Column("minor", BigInteger),
    Column("patch", BigInteger),
    Column("revision", BigInteger),
    Column("prerelease", Text),
    Column("build_code", Text),
    Column("build_number", BigInteger),
    Column("user_agent", Text),
    Column("row_version", BigInteger, nullable=False),
)

release_project = Table(
    "release_project",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("release_id", BigInteger, nullable=False),
    Column("new_groups", Integer, nullable=False),
    Column("adopted", DateTime(timezone=True)),
    Column("unadopted", DateTime(timezone=True)),
    Column("first_seen_transaction", DateTime(timezone=True)),
)

repository = Table(
    "repository",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("url", Text),
    Column("provider", Text),
    Column("external_id", Text),
    Column("config", JSONB, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("date_added", DateTime(timezone=True), nullable=False),
    Column("integration_id", BigInteger),
    Column("languages", ARRAY(Text)),
)

commit_author = Table(
    "commit_author",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("name", Text),
    Column("email", Text, nullable=False),
    Column("external_id", Text),
)

commit = Table(
    "commit",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("author_id", BigInteger),
    Column("message", Text),
    Column("commit_time", DateTime(timezone=True)),
    Column("date_added", DateTime(timezone=True), nullable=False),
)

commit_file_change = Table(
    "commit_file_change",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("commit_id", BigInteger, nullable=False),
    Column("filename", Text, nullable=False),
    Column("type", Text, nullable=False),
)

release_commit = Table(
    "release_commit",
    METADATA,
    Column("release_id", BigInteger, primary_key=True, autoincrement=False),
    Column("commit_id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("layer", BigInteger, nullable=False),
    Column("sort_time_us", BigInteger, nullable=False),
)
COMMIT_ORDER = (release_commit.c.layer, release_commit.c.sort_time_us, release_commit.c.position)
"""The order of a release's commits, oldest first; never by position alone (docs/decisions/0024)."""

release_head_commit = Table(
    "release_head_commit",
    METADATA,
    Column("release_id", BigInteger, primary_key=True, autoincrement=False),
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("commit_id", BigInteger, nullable=False),
)

activity = Table(
    "activity",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("group_id", BigInteger),
    Column("type", Integer, nullable=False),
    Column("ident", Text),
    Column("user_id", BigInteger),
    Column("datetime", DateTime(timezone=True), nullable=False),
    Column("data", JSONB, nullable=False),
    Column("version_digest", LargeBinary),
    Column("deploy_id", BigInteger),
)
