"""Orders of lists of issues and pull requests, the resolutions that wait, and the addresses of users."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX issue_organization_id_first_seen_idx ON issue (organization_id, first_seen, id)",
    "CREATE INDEX issue_project_id_first_seen_idx ON issue (project_id, first_seen, id)",
    "CREATE INDEX pull_request_repository_id_date_added_idx ON pull_request (repository_id, date_added, id)",
    """
    CREATE INDEX issue_resolution_organization_id_pending_idx ON issue_resolution (organization_id, issue_id)
        WHERE status = 0
    """,
    # In lower case: those by which control knows the user, so that the author of a commit may be one.
    "ALTER TABLE known_user ADD COLUMN addresses text[] NOT NULL DEFAULT '{}'",
    "CREATE INDEX known_user_addresses_idx ON known_user USING gin (addresses)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX known_user_addresses_idx")
    op.execute("ALTER TABLE known_user DROP COLUMN addresses")
    op.execute("DROP INDEX pull_request_repository_id_date_added_idx")
    op.execute("DROP INDEX issue_resolution_organization_id_pending_idx")
    op.execute("DROP INDEX issue_project_id_first_seen_idx, issue_organization_id_first_seen_idx")
