"""Imports that are undone: how many rows of a model that were by now, noted in the model's first chunk."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE import_chunk ADD COLUMN undone bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE import_chunk DROP COLUMN undone")
