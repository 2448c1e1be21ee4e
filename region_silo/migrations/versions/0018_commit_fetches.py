"""Why a fetch of commits begins where it does, and the order in which a repository's commits are listed."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE commit_fetch ADD COLUMN previous_release_reason text NOT NULL DEFAULT ''",
    "CREATE INDEX commit_fetch_release_id_open_idx ON commit_fetch (release_id, id) WHERE state IN ('queued', 'running')",
    "CREATE INDEX commit_repository_id_id_idx ON commit (repository_id, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX commit_repository_id_id_idx, commit_fetch_release_id_open_idx")
    op.execute("ALTER TABLE commit_fetch DROP COLUMN previous_release_reason")
