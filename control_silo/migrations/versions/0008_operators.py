"""Parked messages, the audit's entries, and regions that were declared lost."""

from alembic import op

from shared.migrations.operators import OPERATOR_TABLES, OPERATOR_TABLES_UNDONE

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    *OPERATOR_TABLES,
    """
    ALTER TABLE region_directory
        ADD COLUMN lost_at timestamptz,
        ADD COLUMN fence bigint NOT NULL DEFAULT 0
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE region_directory DROP COLUMN fence, DROP COLUMN lost_at")
    for statement in OPERATOR_TABLES_UNDONE:
        op.execute(statement)
