"""Tokens, and the directory of regions that they are replicated to."""

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
    """
    CREATE TABLE region_directory (
        name text CONSTRAINT region_directory_pkey PRIMARY KEY,
        number smallint NOT NULL CONSTRAINT region_directory_number_key UNIQUE,
        internal_address text NOT NULL,
        public_address text NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT region_directory_number_check CHECK (number BETWEEN 1 AND 31)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE region_directory, token")
