"""Users with their addresses, and what imports wrote of them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE user_account (
        id bigint CONSTRAINT user_account_pkey PRIMARY KEY,
        username text NOT NULL,
        name text NOT NULL,
        email text NOT NULL,
        password text NOT NULL,
        is_staff boolean NOT NULL,
        is_superuser boolean NOT NULL,
        is_active boolean NOT NULL,
        is_managed boolean NOT NULL,
        is_sentry_app boolean,
        is_unclaimed boolean NOT NULL,
        is_suspended boolean NOT NULL,
        is_password_expired boolean NOT NULL,
        last_password_change timestamptz,
        flags bigint NOT NULL,
        session_nonce text,
        avatar_type integer NOT NULL,
        avatar_url text,
        date_joined timestamptz NOT NULL,
        last_login timestamptz,
        last_active timestamptz
    )
    """,
    "CREATE UNIQUE INDEX user_account_username_key ON user_account (lower(username))",
    """
    CREATE TABLE email_address (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT email_address_pkey PRIMARY KEY,
        email text NOT NULL,
        date_added timestamptz NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX email_address_email_key ON email_address (lower(email))",
    """
    CREATE TABLE user_email (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT user_email_pkey PRIMARY KEY,
        user_id bigint NOT NULL CONSTRAINT user_email_user_id_fkey REFERENCES user_account (id),
        email text NOT NULL,
        is_verified boolean NOT NULL,
        validation_hash text NOT NULL,
        date_hash_added timestamptz NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX user_email_user_id_email_key ON user_email (user_id, lower(email))",
    # The pk map and ledger: a row for each row of the file that stands in the target. decision: 1 insert, 2 merge,
    # 3 overwrite, 4 suffix. Import ids carry their region's number, so they are unique here.
    """
    CREATE TABLE import_row (
        import_id bigint NOT NULL,
        model text NOT NULL,
        old_pk bigint NOT NULL,
        new_pk bigint NOT NULL,
        decision smallint NOT NULL,
        ordinal bigint NOT NULL,
        suffixed text,
        CONSTRAINT import_row_pkey PRIMARY KEY (import_id, model, old_pk)
    )
    """,
    """
    CREATE TABLE import_chunk (
        import_id bigint NOT NULL,
        model text NOT NULL,
        first_ordinal bigint NOT NULL,
        last_ordinal bigint NOT NULL,
        counts jsonb NOT NULL,
        findings jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT import_chunk_pkey PRIMARY KEY (import_id, model, first_ordinal)
    )
    """,
    "CREATE INDEX import_chunk_created_at_idx ON import_chunk (created_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE import_chunk, import_row, user_email, email_address, user_account")
