"""Tokens that act for users, their quotas, and when control confirmed the tokens last."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    ALTER TABLE token
        ADD COLUMN user_id bigint,
        ADD COLUMN user_suspended boolean NOT NULL DEFAULT false,
        ADD COLUMN calls_per_minute integer NOT NULL DEFAULT 0,
        ADD COLUMN ids_per_minute integer NOT NULL DEFAULT 0
    """,
    """
    CREATE TABLE token_confirmation (
        id smallint CONSTRAINT token_confirmation_pkey PRIMARY KEY,
        confirmed_at timestamptz NOT NULL,
        CONSTRAINT token_confirmation_id_check CHECK (id = 1)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE token_confirmation")
    op.execute(
        "ALTER TABLE token DROP COLUMN user_id, DROP COLUMN user_suspended, DROP COLUMN calls_per_minute,"
        " DROP COLUMN ids_per_minute"
    )
