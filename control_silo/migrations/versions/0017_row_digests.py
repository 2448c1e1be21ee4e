"""The ledger of imports tells how each row was left: null for merged rows."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE import_row ADD COLUMN digest bigint")


def downgrade() -> None:
    op.execute("ALTER TABLE import_row DROP COLUMN digest")
