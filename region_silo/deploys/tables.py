"""The tables of environments and deploys as queries see them; migration 0014 creates them."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Table, Text

from region_silo.schema import METADATA

environment = Table(
    "environment",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("date_added", DateTime(timezone=True), nullable=False),
)

environment_project = Table(
    "environment_project",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("environment_id", BigInteger, nullable=False),
    Column("is_hidden", Boolean),
)

deploy = Table(
    "deploy",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("release_id", BigInteger, nullable=False),
    Column("environment_id", BigInteger, nullable=False),
    Column("name", Text),
    Column("url", Text),
    Column("date_added", DateTime(timezone=True), nullable=False),
    Column("date_started", DateTime(timezone=True)),
    Column("date_finished", DateTime(timezone=True)),
    Column("announced_at", DateTime(timezone=True)),
    Column("row_version", BigInteger, nullable=False),
)

deploy_project = Table(
    "deploy_project",
    METADATA,
    Column("deploy_id", BigInteger, primary_key=True, autoincrement=False),
    Column("project_id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
)
