"""The tables of issues as queries see them; migration 0014 creates them. The numbers stand in the rows."""

from sqlalchemy import BigInteger, Column, DateTime, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from region_silo.schema import METADATA

LINKED_COMMIT = 1
LINKED_PULL_REQUEST = 2
LINKED_TRACKER_ISSUE = 3

RESOLVES = 1
REFERENCES = 2

IN_RELEASE = 0
IN_NEXT_RELEASE = 1
PENDING = 0
SETTLED = 1

REASON_NEW = 0

HISTORY_UNRESOLVED = 0
HISTORY_RESOLVED = 1
HISTORY_REGRESSED = 7
HISTORY_REVIEWED = 10
HISTORY_IN_RELEASE = 11

VISIBLE_BELOW = 3
"""Statuses from here on are of issues that are being deleted or merged: nobody is told of them."""

issue = Table(
    "issue",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("short_id", BigInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("substatus", SmallInteger),
    Column("resolved_at", DateTime(timezone=True)),
    Column("first_release_id", BigInteger),
    Column("first_seen", DateTime(timezone=True), nullable=False),
    Column("last_seen", DateTime(timezone=True), nullable=False),
    Column("row_version", BigInteger, nullable=False),
)

issue_link = Table(
    "issue_link",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("issue_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("linked_type", SmallInteger, nullable=False),
    Column("linked_id", BigInteger, nullable=False),
    Column("relationship", SmallInteger, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("datetime", DateTime(timezone=True), nullable=False),
)

issue_resolution = Table(
    "issue_resolution",
    METADATA,
    Column("issue_id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("release_id", BigInteger, nullable=False),
    Column("current_release_version", Text),
    Column("future_release_version", Text),
    Column("type", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("actor_id", BigInteger),
    Column("datetime", DateTime(timezone=True), nullable=False),
)

issue_inbox = Table(
    "issue_inbox",
    METADATA,
    Column("issue_id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("project_id", BigInteger, nullable=False),
    Column("reason", SmallInteger, nullable=False),
    Column("reason_details", JSONB),
    Column("date_added", DateTime(timezone=True), nullable=False),
)
