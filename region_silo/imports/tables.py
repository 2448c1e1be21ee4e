"""The table of imports, and an import as one of its rows tells it."""

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from region_silo.imports.domain import DataImport, ModelTotal, Scope, State, Undo
from region_silo.imports.options import ImportOptions
from region_silo.schema import METADATA
from shared.requests.domain import StoredError

DATA_IMPORT = Table(
    "data_import",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("principal", Text),
    Column("request_id", UUID(as_uuid=False)),
    Column("scope", SmallInteger),
    Column("state", SmallInteger),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("object_count", BigInteger),
    Column("done_count", BigInteger),
    Column("finding_count", BigInteger),
    Column("models", JSONB),
    Column("options", JSONB),
    Column("filtered_at", DateTime(timezone=True)),
    Column("error", JSONB(none_as_null=True)),
    Column("lease_token", UUID(as_uuid=False)),
    Column("lease_until", DateTime(timezone=True)),
    Column("attempts", Integer),
    Column("peer_failures", Integer),
    Column("asked_at", DateTime(timezone=True)),
    Column("available_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True)),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("continue_on_error", Boolean),
    Column("wanted", SmallInteger),
    Column("tries", Integer),
    Column("error_count", BigInteger),
    Column("served_at", DateTime(timezone=True)),
    Column("went_on_at", DateTime(timezone=True)),
    Column("is_plan", Boolean),
    Column("plan_id", BigInteger),
    Column("edited", Boolean),
    Column("expires_at", DateTime(timezone=True)),
    Column("undo_count", Integer),
    Column("undone_by", Text),
    Column("undo_step", Text),
    Column("undo_after", BigInteger),
    Column("undo_opens", Boolean),
    Column("undone_count", BigInteger),
    Column("kept_count", BigInteger),
)


def data_import_of(row: Any) -> DataImport:
    """The import of a whole row."""
    return DataImport(
        id=row.id,
        principal=row.principal,
        request_id=row.request_id,
        scope=Scope(row.scope),
        state=State(row.state),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        object_count=row.object_count,
        done_count=row.done_count,
        finding_count=row.finding_count,
        models=tuple(ModelTotal(**each) for each in row.models),
        error=None if row.error is None else msgspec.convert(row.error, StoredError),
        attempts=row.attempts,
        peer_failures=row.peer_failures,
        asked_at=row.asked_at,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        options=msgspec.convert(row.options, ImportOptions),
        filtered_at=row.filtered_at,
        updated_at=row.updated_at,
        wanted=State(row.wanted) if row.wanted else None,
        continue_on_error=row.continue_on_error,
        error_count=row.error_count,
        tries=row.tries,
        went_on_at=row.went_on_at,
        is_plan=row.is_plan,
        plan_id=row.plan_id,
        edited=row.edited,
        expires_at=row.expires_at,
        undo=Undo(
            row.undo_count,
            row.undone_by,
            row.undo_step,
            row.undo_after,
            row.undo_opens,
            row.undone_count,
            row.kept_count,
        ),
    )
