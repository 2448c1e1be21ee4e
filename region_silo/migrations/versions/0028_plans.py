"""Plans of imports: which imports are plans, until when, and which apply one; what a plan's ledger notes."""

from alembic import op

from shared.migrations.plan_columns import PLAN_COLUMNS, PLAN_COLUMNS_UNDONE

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

STATEMENTS = (
    # plan_id: the plan that the import applies; edited: without some of its rows. expires_at: until when a plan can be applied.
    """
    ALTER TABLE data_import
        ADD COLUMN is_plan boolean NOT NULL DEFAULT false,
        ADD COLUMN plan_id bigint,
        ADD COLUMN edited boolean NOT NULL DEFAULT false,
        ADD COLUMN expires_at timestamptz
    """,
    "CREATE INDEX data_import_plan_id_idx ON data_import (plan_id) WHERE plan_id IS NOT NULL",
    # state 11: planning.
    "DROP INDEX data_import_open_idx",
    "CREATE INDEX data_import_open_idx ON data_import (available_at) WHERE state IN (1, 2, 3, 4, 7, 11)",
    PLAN_COLUMNS,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(PLAN_COLUMNS_UNDONE)
    op.execute("DROP INDEX data_import_open_idx")
    op.execute("CREATE INDEX data_import_open_idx ON data_import (available_at) WHERE state IN (1, 2, 3, 4, 7)")
    op.execute("DROP INDEX data_import_plan_id_idx")
    op.execute(
        "ALTER TABLE data_import DROP COLUMN expires_at, DROP COLUMN edited, DROP COLUMN plan_id, DROP COLUMN is_plan"
    )
