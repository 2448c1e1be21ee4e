"""Imports that are undone: why a row of their ledger stays; null as long as it may go."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE import_row ADD COLUMN stays text")


def downgrade() -> None:
    op.execute("ALTER TABLE import_row DROP COLUMN stays")
