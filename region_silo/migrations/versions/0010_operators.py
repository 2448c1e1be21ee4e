"""Parked messages and the audit's entries."""

from alembic import op

from shared.migrations.operators import OPERATOR_TABLES, OPERATOR_TABLES_UNDONE

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in OPERATOR_TABLES:
        op.execute(statement)


def downgrade() -> None:
    for statement in OPERATOR_TABLES_UNDONE:
        op.execute(statement)
