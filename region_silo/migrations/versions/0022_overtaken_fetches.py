"""A fetch knows that commits were told since it was asked for; those that began at a release are found when it goes."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE commit_fetch ADD COLUMN is_overtaken boolean NOT NULL DEFAULT false",
    """
    CREATE INDEX commit_fetch_previous_release_id_idx ON commit_fetch (previous_release_id)
        WHERE previous_release_id IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX commit_fetch_previous_release_id_idx")
    op.execute("ALTER TABLE commit_fetch DROP COLUMN is_overtaken")
