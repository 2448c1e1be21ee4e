"""The ledger of imports tells how each row was left: null for rows of control's models and for merged ones.

What is told of rows that were written is found by row, for what explains a difference to the file.
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE import_row ADD COLUMN digest bigint")
    op.execute(
        "CREATE INDEX import_finding_warning_idx ON import_finding (import_id, model, ordinal) WHERE severity = 1"
    )


def downgrade() -> None:
    op.execute("DROP INDEX import_finding_warning_idx")
    op.execute("ALTER TABLE import_row DROP COLUMN digest")
