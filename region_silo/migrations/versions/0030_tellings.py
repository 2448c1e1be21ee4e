"""What control is still to be told of members: all of the region's, or those of an import."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

# import_id 0: all members. through_id: the last one; null: none is the last.
STATEMENTS = (
    """
    ALTER TABLE member_retelling
        DROP COLUMN is_one,
        ADD COLUMN import_id bigint NOT NULL DEFAULT 0,
        ADD COLUMN through_id bigint,
        ADD CONSTRAINT member_retelling_pkey PRIMARY KEY (import_id)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    # What is left of imports is told with all.
    op.execute("INSERT INTO member_retelling (after_id) SELECT 0 FROM member_retelling LIMIT 1 ON CONFLICT DO NOTHING")
    op.execute("DELETE FROM member_retelling WHERE import_id <> 0")
    op.execute("ALTER TABLE member_retelling DROP COLUMN through_id, DROP COLUMN import_id")
    op.execute("ALTER TABLE member_retelling ADD COLUMN is_one boolean NOT NULL DEFAULT true")
    op.execute("ALTER TABLE member_retelling ADD CONSTRAINT member_retelling_pkey PRIMARY KEY (is_one)")
    op.execute("ALTER TABLE member_retelling ADD CONSTRAINT member_retelling_is_one_check CHECK (is_one)")
