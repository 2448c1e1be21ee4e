"""The life of an import: uploads that go on, pauses and cancels, errors that stop it, and retries."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# Kinds of findings that are errors, as they were called when findings had no severity of their own.
_ERRORS = "('INVALID_OBJECT', 'INVALID_PK', 'INVALID_VALUE', 'MISSING_FIELD')"

STATEMENTS = (
    # Uploads of before cannot go on: nobody knows how far they came.
    "DELETE FROM data_import WHERE state = 1",
    # wanted: 0 nothing, 8 a pause, 9 the end; the states that were asked for. tries: how often it was taken up again.
    # served_at: when a process last took it. went_on_at: when its present stretch of work began.
    """
    ALTER TABLE data_import
        ADD COLUMN continue_on_error boolean NOT NULL DEFAULT false,
        ADD COLUMN wanted smallint NOT NULL DEFAULT 0,
        ADD COLUMN tries integer NOT NULL DEFAULT 0,
        ADD COLUMN error_count bigint NOT NULL DEFAULT 0,
        ADD COLUMN served_at timestamptz,
        ADD COLUMN went_on_at timestamptz
    """,
    "CREATE UNIQUE INDEX data_import_uploading_key ON data_import (principal, request_id) WHERE state = 1",
    # The same file at the same time.
    "CREATE INDEX data_import_running_file_idx ON data_import (sha256) WHERE state IN (2, 3, 4, 7, 8)",
    "ALTER TABLE import_chunk ADD COLUMN tries integer NOT NULL DEFAULT 0",
    # severity: 1 warning, 2 left out by a rule, 3 error.
    "ALTER TABLE import_finding ADD COLUMN severity smallint NOT NULL DEFAULT 2",
    f"""
    UPDATE import_finding SET severity = CASE WHEN kind IN {_ERRORS} THEN 3 ELSE 1 END
        WHERE kind IN {_ERRORS} OR NOT skipped
    """,
    """
    UPDATE data_import SET error_count = counted.errors FROM (
        SELECT import_id, count(*) AS errors FROM import_finding WHERE severity = 3 GROUP BY import_id
    ) AS counted WHERE counted.import_id = data_import.id
    """,
    """
    CREATE INDEX import_finding_failed_idx ON import_finding (import_id, model, ordinal)
        WHERE severity = 3 OR kind = 'MISSING_REFERENCE'
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX import_finding_failed_idx, data_import_running_file_idx, data_import_uploading_key")
    op.execute("ALTER TABLE import_finding DROP COLUMN severity")
    op.execute("ALTER TABLE import_chunk DROP COLUMN tries")
    columns = ("continue_on_error", "wanted", "tries", "error_count", "served_at", "went_on_at")
    op.execute(f"ALTER TABLE data_import {', '.join(f'DROP COLUMN {each}' for each in columns)}")
