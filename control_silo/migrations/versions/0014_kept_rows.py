"""Rows of imported models that the silo does not act on, kept whole."""

from alembic import op

from shared.migrations.kept_rows import KEPT_ROW_TABLE, KEPT_ROW_TABLE_UNDONE

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in KEPT_ROW_TABLE:
        op.execute(statement)


def downgrade() -> None:
    for statement in KEPT_ROW_TABLE_UNDONE:
        op.execute(statement)
