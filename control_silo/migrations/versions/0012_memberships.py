"""Who belongs to which organization, as regions tell, and what regions are told of users."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = (
    # A mirror: truth is the region's. `email` is an invited address, and only where `user_id` is NULL.
    """
    CREATE TABLE organization_membership (
        organization_id bigint NOT NULL,
        member_id bigint NOT NULL,
        region text NOT NULL,
        user_id bigint,
        email text,
        role text NOT NULL,
        version bigint NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT organization_membership_pkey PRIMARY KEY (organization_id, member_id)
    )
    """,
    """
    CREATE INDEX organization_membership_user_id_idx ON organization_membership (user_id, organization_id, member_id)
        WHERE user_id IS NOT NULL
    """,
    """
    CREATE INDEX organization_membership_email_idx ON organization_membership (lower(email))
        WHERE user_id IS NULL AND email IS NOT NULL
    """,
    # Whoever ends a mapping ends its mirror with it. No foreign key: a region may tell of members before control has
    # written the mapping of their organization.
    """
    CREATE FUNCTION forget_memberships() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM organization_membership WHERE organization_id = OLD.organization_id;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER organization_mapping_forget_memberships AFTER DELETE ON organization_mapping
        FOR EACH ROW EXECUTE FUNCTION forget_memberships()
    """,
    "ALTER TABLE user_account ADD COLUMN version bigint NOT NULL DEFAULT 1",
    # The addresses by which a user is known: its own, unless a file gave it, and what it has verified.
    """
    CREATE VIEW user_address AS
        SELECT id AS user_id, lower(email) AS address FROM user_account WHERE email <> '' AND NOT is_unclaimed
        UNION
        SELECT user_id, lower(email) FROM user_email WHERE is_verified
    """,
    "CREATE INDEX user_account_email_idx ON user_account (lower(email)) WHERE email <> '' AND NOT is_unclaimed",
    "CREATE INDEX user_email_email_idx ON user_email (lower(email)) WHERE is_verified",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX user_email_email_idx, user_account_email_idx")
    op.execute("DROP VIEW user_address")
    op.execute("ALTER TABLE user_account DROP COLUMN version")
    op.execute("DROP TRIGGER organization_mapping_forget_memberships ON organization_mapping")
    op.execute("DROP FUNCTION forget_memberships")
    op.execute("DROP TABLE organization_membership")
