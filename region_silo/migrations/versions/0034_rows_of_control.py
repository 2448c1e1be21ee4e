"""Batches that control wrote and whose rows the region's ledger does not have: how many were counted as undone.

Null where the rows stand in the ledger, and are counted there.
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE import_chunk ADD COLUMN undone bigint")


def downgrade() -> None:
    op.execute("ALTER TABLE import_chunk DROP COLUMN undone")
