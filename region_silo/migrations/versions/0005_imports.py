"""Imports: the run, the pk map, the written batches and the findings."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    # scope: 1 user, 2 organization. state: 1 uploading, 2 queued, 3 writing, 4 reserving, 5 succeeded, 6 failed.
    """
    CREATE TABLE data_import (
        id bigint CONSTRAINT data_import_pkey PRIMARY KEY,
        principal text NOT NULL,
        request_id uuid NOT NULL,
        scope smallint NOT NULL,
        state smallint NOT NULL,
        size_bytes bigint NOT NULL,
        sha256 text NOT NULL,
        object_count bigint NOT NULL,
        done_count bigint NOT NULL,
        finding_count bigint NOT NULL,
        models jsonb NOT NULL,
        error jsonb,
        lease_token uuid,
        lease_until timestamptz,
        attempts integer NOT NULL,
        peer_failures integer NOT NULL,
        asked_at timestamptz,
        available_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL,
        started_at timestamptz,
        ended_at timestamptz,
        updated_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX data_import_open_idx ON data_import (available_at) WHERE state BETWEEN 1 AND 4",
    "CREATE INDEX data_import_principal_idx ON data_import (principal, id)",
    # The pk map and ledger: a row for each row of the file that stands in a silo. decision: 1 insert, 2 merge,
    # 3 overwrite, 4 suffix.
    """
    CREATE TABLE import_row (
        import_id bigint NOT NULL,
        model text NOT NULL,
        old_pk bigint NOT NULL,
        new_pk bigint NOT NULL,
        decision smallint NOT NULL,
        ordinal bigint NOT NULL,
        suffixed text,
        CONSTRAINT import_row_pkey PRIMARY KEY (import_id, model, old_pk)
    )
    """,
    """
    CREATE TABLE import_chunk (
        import_id bigint NOT NULL,
        model text NOT NULL,
        first_ordinal bigint NOT NULL,
        last_ordinal bigint NOT NULL,
        counts jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT import_chunk_pkey PRIMARY KEY (import_id, model, first_ordinal)
    )
    """,
    """
    CREATE TABLE import_finding (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT import_finding_pkey PRIMARY KEY,
        import_id bigint NOT NULL,
        kind text NOT NULL,
        model text NOT NULL,
        ordinal bigint NOT NULL,
        pk text NOT NULL,
        field text NOT NULL,
        reason text NOT NULL,
        skipped boolean NOT NULL
    )
    """,
    "CREATE INDEX import_finding_import_id_idx ON import_finding (import_id, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE import_finding, import_chunk, import_row, data_import")
