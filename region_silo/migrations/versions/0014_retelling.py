"""How far the region has come in telling control of all its members again."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE member_retelling (
        is_one boolean NOT NULL DEFAULT true,
        after_id bigint NOT NULL,
        CONSTRAINT member_retelling_pkey PRIMARY KEY (is_one),
        CONSTRAINT member_retelling_is_one_check CHECK (is_one)
    )
    """,
    # Control has never heard of members from before it was told of any.
    "INSERT INTO member_retelling (after_id) SELECT 0 WHERE EXISTS (SELECT FROM organization_member)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE member_retelling")
