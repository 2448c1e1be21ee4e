"""What is chosen for an import, what its filters want and leave out, and ids of issue counters."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

# options: a field for each choice. filtered_at: since when import_filter holds all that filters want.
CHOICES = (
    "ALTER TABLE data_import ADD COLUMN options jsonb NOT NULL DEFAULT '{}', ADD COLUMN filtered_at timestamptz",
    # state 7: finishing.
    "DROP INDEX data_import_open_idx",
    "CREATE INDEX data_import_open_idx ON data_import (available_at) WHERE state IN (1, 2, 3, 4, 7)",
)
# wanted: true for rows that a filter names or implies, false for rows that were left out; rows: how many of these have
# the pk. name: what other rows know a wanted one by: a user's address, in lower case.
FILTER = (
    """
    CREATE TABLE import_filter (
        import_id bigint NOT NULL,
        model text NOT NULL,
        old_pk bigint NOT NULL,
        wanted boolean NOT NULL,
        rows bigint NOT NULL DEFAULT 1,
        name text,
        CONSTRAINT import_filter_pkey PRIMARY KEY (import_id, model, old_pk)
    )
    """,
    "CREATE INDEX import_filter_name_idx ON import_filter (import_id, model, name) WHERE name IS NOT NULL",
)
COUNTERS = (
    """
    ALTER TABLE project_counter
        ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT project_counter_id_key UNIQUE
    """,
)


def upgrade() -> None:
    for statement in (*CHOICES, *FILTER, *COUNTERS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE project_counter DROP COLUMN id")
    op.execute("DROP TABLE import_filter")
    op.execute("DROP INDEX data_import_open_idx")
    op.execute("CREATE INDEX data_import_open_idx ON data_import (available_at) WHERE state BETWEEN 1 AND 4")
    op.execute("ALTER TABLE data_import DROP COLUMN filtered_at, DROP COLUMN options")
