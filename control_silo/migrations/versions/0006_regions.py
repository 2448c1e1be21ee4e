"""Which regions get new organizations, and the version under which the directory is told to regions."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    # version 0: no region was told of the row yet.
    """
    ALTER TABLE region_directory
        ADD COLUMN state text NOT NULL DEFAULT 'active',
        ADD COLUMN version bigint NOT NULL DEFAULT 0,
        ADD CONSTRAINT region_directory_state_check CHECK (state IN ('active', 'draining'))
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE region_directory DROP COLUMN state, DROP COLUMN version")
