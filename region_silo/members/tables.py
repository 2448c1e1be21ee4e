"""The tables of members, teams and their links as queries see them; migrations 0003 and 0013 create them."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, Table, Text

from region_silo.schema import METADATA

APPROVED = 0
"""`invite_status` of a member that somebody with the right to do so has let in; others ask for it."""

TEAM_ACTIVE = 0
"""`status` of a team that is not being deleted in the system that it came from."""

organization_member = Table(
    "organization_member",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("user_id", BigInteger),
    Column("email", Text),
    Column("role", Text, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("token", Text),
    Column("token_expires_at", DateTime(timezone=True)),
    Column("has_global_access", Boolean, nullable=False),
    Column("inviter_id", BigInteger),
    Column("invite_status", Integer, nullable=False),
    Column("type", Integer, nullable=False),
    Column("user_email", Text),
    Column("user_is_active", Boolean, nullable=False),
    Column("date_added", DateTime(timezone=True), nullable=False),
    Column("version", BigInteger, nullable=False),
)

team = Table(
    "team",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("idp_provisioned", Boolean, nullable=False),
    Column("date_added", DateTime(timezone=True), nullable=False),
)

organization_member_team = Table(
    "organization_member_team",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("organization_member_id", BigInteger, nullable=False),
    Column("team_id", BigInteger, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("role", Text),
)

project_team = Table(
    "project_team",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("team_id", BigInteger, nullable=False),
)
