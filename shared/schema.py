"""The tables that every silo has, as SQLAlchemy sees them; shared/migrations creates them."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()

silo_identity = Table(
    "silo_identity",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("epoch", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("place", Text),
    Column("restored_at", DateTime(timezone=True)),
)

request_record = Table(
    "request_record",
    METADATA,
    Column("principal", Text, primary_key=True),
    Column("request_id", Uuid, primary_key=True),
    Column("method", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("answer", JSONB(none_as_null=True)),
    Column("resource", Text),
    Column("error", JSONB(none_as_null=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

outbox_message = Table(
    "outbox_message",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("target", Text, nullable=False),
    Column("aggregate", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("category", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", JSONB(none_as_null=True)),
    Column("attempts", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_error", Text),
    Column("parked_at", DateTime(timezone=True)),
    Column("skip_reason", Text),
)

outbox_parked = Table(
    "outbox_parked",
    METADATA,
    Column("target", Text, primary_key=True),
    Column("aggregate", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False),
)

outbox_tombstone = Table(
    "outbox_tombstone",
    METADATA,
    Column("category", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("aggregate", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False),
)

outbox_shard = Table(
    "outbox_shard",
    METADATA,
    Column("target", Text, primary_key=True),
    Column("aggregate", Text, primary_key=True),
    Column("last_sequence", BigInteger, nullable=False),
)

outbox_lease = Table(
    "outbox_lease",
    METADATA,
    Column("target", Text, primary_key=True),
    Column("aggregate", Text, primary_key=True),
    Column("token", Uuid),
    Column("lease_until", DateTime(timezone=True)),
    Column("available_at", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("seen_sequence", BigInteger, nullable=False),
    Column("parked_at", DateTime(timezone=True)),
)

inbox_origin = Table(
    "inbox_origin",
    METADATA,
    Column("origin", Text, primary_key=True),
    Column("epoch", Uuid, nullable=False),
    Column("agreed_at", DateTime(timezone=True), nullable=False),
    Column("resumed_at", DateTime(timezone=True)),
)

inbox_shard = Table(
    "inbox_shard",
    METADATA,
    Column("origin", Text, primary_key=True),
    Column("aggregate", Text, primary_key=True),
    Column("epoch", Uuid, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

inbox_subject = Table(
    "inbox_subject",
    METADATA,
    Column("origin", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

audit_entry = Table(
    "audit_entry",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("principal", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("organization_id", BigInteger),
    Column("target", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
)
