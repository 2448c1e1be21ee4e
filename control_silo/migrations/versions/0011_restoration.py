"""A silo that was restored from a backup, and peers whose sequences were agreed on anew."""

from alembic import op

from shared.migrations.restoration import RESTORATION_COLUMNS, RESTORATION_COLUMNS_UNDONE

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in RESTORATION_COLUMNS:
        op.execute(statement)


def downgrade() -> None:
    for statement in RESTORATION_COLUMNS_UNDONE:
        op.execute(statement)
