"""Organizations that are to be deleted, and what is remembered of what is deleted."""

from alembic import op

from shared.migrations.tombstones import TOMBSTONE_TABLES, TOMBSTONE_TABLES_UNDONE

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    *TOMBSTONE_TABLES,
    # deletion: 0 none, 1 pending, 2 deleting, 3 gone from its region. deletion_version counts the changes of the stage.
    """
    ALTER TABLE organization_mapping
        ADD COLUMN deletion smallint NOT NULL DEFAULT 0,
        ADD COLUMN deletion_version bigint NOT NULL DEFAULT 0,
        ADD COLUMN deleted_at timestamptz,
        ADD COLUMN purge_at timestamptz,
        ADD CONSTRAINT organization_mapping_deletion_check CHECK (deletion BETWEEN 0 AND 3),
        ADD CONSTRAINT organization_mapping_purge_at_check CHECK ((deletion = 0) = (purge_at IS NULL))
    """,
    """
    CREATE INDEX organization_mapping_purge_at_idx ON organization_mapping (deletion, purge_at, organization_id)
        WHERE deletion <> 0
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "ALTER TABLE organization_mapping DROP COLUMN purge_at, DROP COLUMN deleted_at, DROP COLUMN deletion_version,"
        " DROP COLUMN deletion"
    )
    for statement in TOMBSTONE_TABLES_UNDONE:
        op.execute(statement)
