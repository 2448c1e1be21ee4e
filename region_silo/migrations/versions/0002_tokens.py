"""The replica of control's tokens."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE token (
        id bigint CONSTRAINT token_pkey PRIMARY KEY,
        secret_hash bytea NOT NULL CONSTRAINT token_secret_hash_key UNIQUE,
        name text NOT NULL,
        audience text[] NOT NULL,
        scopes text[] NOT NULL,
        organization_id bigint,
        expires_at timestamptz,
        revoked_at timestamptz,
        version bigint NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE token")
