"""Organizations that are to be deleted, the ways to all rows of one, and what is remembered of what is deleted."""

from alembic import op

from shared.migrations.tombstones import TOMBSTONE_TABLES, TOMBSTONE_TABLES_UNDONE

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# A purge deletes batch by batch, by organization: each table with organization_id has an index that begins with it.
_INDEXED = (
    "organization_member_team",
    "project_team",
    "project_key",
    "release_project",
    "commit",
    "commit_file_change",
    "release_commit",
    "release_head_commit",
    "activity",
)

STATEMENTS = (
    *TOMBSTONE_TABLES,
    # deletion: 0 none, 1 pending, 2 deleting. purge_at is control's.
    """
    ALTER TABLE organization
        ADD COLUMN deletion smallint NOT NULL DEFAULT 0,
        ADD COLUMN purge_at timestamptz,
        ADD CONSTRAINT organization_deletion_check CHECK (deletion BETWEEN 0 AND 2)
    """,
    "CREATE INDEX organization_deletion_idx ON organization (deletion, id) WHERE deletion <> 0",
    *(f"CREATE INDEX {table}_organization_id_idx ON {table} (organization_id)" for table in _INDEXED),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX " + ", ".join(f"{table}_organization_id_idx" for table in _INDEXED))
    op.execute("ALTER TABLE organization DROP COLUMN purge_at, DROP COLUMN deletion")
    for statement in TOMBSTONE_TABLES_UNDONE:
        op.execute(statement)
