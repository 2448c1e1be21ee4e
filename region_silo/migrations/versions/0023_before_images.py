"""Before-images of rows that imports overwrite."""

from alembic import op

from shared.migrations.before_images import BEFORE_IMAGE_TABLE, BEFORE_IMAGE_TABLE_UNDONE

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in BEFORE_IMAGE_TABLE:
        op.execute(statement)


def downgrade() -> None:
    for statement in BEFORE_IMAGE_TABLE_UNDONE:
        op.execute(statement)
