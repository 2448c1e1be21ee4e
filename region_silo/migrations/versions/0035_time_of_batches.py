"""How long the work on each batch of an import took, in seconds; null for batches of before."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE import_chunk ADD COLUMN took_s double precision")


def downgrade() -> None:
    op.execute("ALTER TABLE import_chunk DROP COLUMN took_s")
