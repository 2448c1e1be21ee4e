"""The files of a commit are found in the order of their lists: by path, compared as bytes."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE commit_file_change DROP CONSTRAINT commit_file_change_commit_id_filename_key")
    op.execute(
        """
        CREATE UNIQUE INDEX commit_file_change_commit_id_filename_key
            ON commit_file_change (commit_id, filename COLLATE "C")
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX commit_file_change_commit_id_filename_key")
    op.execute(
        """
        ALTER TABLE commit_file_change
            ADD CONSTRAINT commit_file_change_commit_id_filename_key UNIQUE (commit_id, filename)
        """
    )
