"""Indexes for the list of a release's deploys, and for finding those that finished and are not announced."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX deploy_release_id_date_finished_id_idx ON deploy (release_id, date_finished, id)",
    "DROP INDEX deploy_release_id_unannounced_idx",
    # A deploy may run for ever; those that wait to be announced are few.
    """
    CREATE INDEX deploy_release_id_unannounced_idx ON deploy (release_id)
        WHERE announced_at IS NULL AND date_finished IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX deploy_release_id_unannounced_idx")
    op.execute("CREATE INDEX deploy_release_id_unannounced_idx ON deploy (release_id) WHERE announced_at IS NULL")
    op.execute("DROP INDEX deploy_release_id_date_finished_id_idx")
