"""Plans of imports: what their ledgers note, and the slugs that are held for them."""

from alembic import op

from shared.migrations.plan_columns import PLAN_COLUMNS, PLAN_COLUMNS_UNDONE

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(PLAN_COLUMNS)
    op.execute(
        """
        CREATE INDEX slug_reservation_plan_idx ON slug_reservation (holder)
            WHERE state = 2 AND holder <> '' AND organization_id IS NULL
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX slug_reservation_plan_idx")
    op.execute(PLAN_COLUMNS_UNDONE)
