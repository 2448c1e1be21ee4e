"""A silo that was restored from a backup, and peers whose sequences were agreed on anew."""

from alembic import op

from shared.migrations.restoration import RESTORATION_COLUMNS, RESTORATION_COLUMNS_UNDONE

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in RESTORATION_COLUMNS:
        op.execute(statement)
    op.execute("CREATE INDEX organization_provision_organization_id_idx ON organization_provision (organization_id)")


def downgrade() -> None:
    op.execute("DROP INDEX organization_provision_organization_id_idx")
    for statement in RESTORATION_COLUMNS_UNDONE:
        op.execute(statement)
