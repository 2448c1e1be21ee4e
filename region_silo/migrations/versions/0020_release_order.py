"""The order of versions compares pre-releases as plain text, whatever the database's collation is."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_ORDER = "organization_id, major, minor, patch, revision, (CASE WHEN prerelease = '' THEN 1 ELSE 0 END)"


def upgrade() -> None:
    op.execute("DROP INDEX release_organization_id_semver_idx")
    op.execute(
        f"""
        CREATE INDEX release_organization_id_semver_idx ON release ({_ORDER}, prerelease COLLATE "C", date_added, id)
            WHERE major IS NOT NULL
        """
    )
    # Deleting a release takes it out of the history.
    op.execute("CREATE INDEX issue_history_release_id_idx ON issue_history (release_id) WHERE release_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX issue_history_release_id_idx, release_organization_id_semver_idx")
    op.execute(
        f"""
        CREATE INDEX release_organization_id_semver_idx ON release ({_ORDER}, prerelease, date_added, id)
            WHERE major IS NOT NULL
        """
    )
