"""Tokens that act for users, and their quotas."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    ALTER TABLE token
        ADD COLUMN user_id bigint CONSTRAINT token_user_id_fkey REFERENCES user_account (id),
        ADD COLUMN user_suspended boolean NOT NULL DEFAULT false,
        ADD COLUMN calls_per_minute integer NOT NULL DEFAULT 0
            CONSTRAINT token_calls_per_minute_check CHECK (calls_per_minute >= 0),
        ADD COLUMN ids_per_minute integer NOT NULL DEFAULT 0
            CONSTRAINT token_ids_per_minute_check CHECK (ids_per_minute >= 0)
    """,
    "CREATE INDEX token_user_id_idx ON token (user_id, id) WHERE user_id IS NOT NULL",
    "CREATE INDEX token_organization_id_idx ON token (organization_id, id) WHERE organization_id IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX token_organization_id_idx")
    op.execute(
        "ALTER TABLE token DROP COLUMN user_id, DROP COLUMN user_suspended, DROP COLUMN calls_per_minute,"
        " DROP COLUMN ids_per_minute"
    )
