"""The replica of control's users, and what control is told of members."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = (
    # state: 0 UNCONFIRMED, 1 ACTIVE, 2 INACTIVE, 3 UNKNOWN to control.
    """
    CREATE TABLE known_user (
        id bigint CONSTRAINT known_user_pkey PRIMARY KEY,
        state smallint NOT NULL,
        version bigint NOT NULL,
        CONSTRAINT known_user_state_check CHECK (state BETWEEN 0 AND 3)
    )
    """,
    "ALTER TABLE organization_member ADD COLUMN version bigint NOT NULL DEFAULT 1",
    """
    CREATE INDEX organization_member_invited_idx ON organization_member (lower(email))
        WHERE user_id IS NULL AND email IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX organization_member_invited_idx")
    op.execute("ALTER TABLE organization_member DROP COLUMN version")
    op.execute("DROP TABLE known_user")
