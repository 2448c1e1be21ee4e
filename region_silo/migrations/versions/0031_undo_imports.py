"""Imports that are undone: how far that is, and which rows stay."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

STATEMENTS = (
    # undo_count: how often it was asked for; undone_by: who did last. undo_step, undo_after: the step at hand, and the pk in
    # the file up to which it is done. undo_opens: organizations were open, so those that stay are opened again.
    """
    ALTER TABLE data_import
        ADD COLUMN undo_count integer NOT NULL DEFAULT 0,
        ADD COLUMN undone_by text NOT NULL DEFAULT '',
        ADD COLUMN undo_step text NOT NULL DEFAULT '',
        ADD COLUMN undo_after bigint NOT NULL DEFAULT 0,
        ADD COLUMN undo_opens boolean NOT NULL DEFAULT false,
        ADD COLUMN undone_count bigint NOT NULL DEFAULT 0,
        ADD COLUMN kept_count bigint NOT NULL DEFAULT 0
    """,
    # Why a row stays; null as long as it may go.
    "ALTER TABLE import_row ADD COLUMN stays text",
    # state 13: undoing.
    "DROP INDEX data_import_open_idx",
    "CREATE INDEX data_import_open_idx ON data_import (available_at) WHERE state IN (1, 2, 3, 4, 7, 11, 13)",
    "DROP INDEX data_import_running_file_idx",
    "CREATE INDEX data_import_running_file_idx ON data_import (sha256) WHERE state IN (2, 3, 4, 7, 8, 11, 13)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX data_import_running_file_idx")
    op.execute("CREATE INDEX data_import_running_file_idx ON data_import (sha256) WHERE state IN (2, 3, 4, 7, 8)")
    op.execute("DROP INDEX data_import_open_idx")
    op.execute("CREATE INDEX data_import_open_idx ON data_import (available_at) WHERE state IN (1, 2, 3, 4, 7, 11)")
    op.execute("ALTER TABLE import_row DROP COLUMN stays")
    columns = ("undo_count", "undone_by", "undo_step", "undo_after", "undo_opens", "undone_count", "kept_count")
    op.execute(f"ALTER TABLE data_import {', '.join(f'DROP COLUMN {each}' for each in columns)}")
