"""Policies that were chosen for single rows of a plan."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# import_id: the import that applies the plan. policy: the number of a policy, as in the import's options.
STATEMENTS = (
    """
    CREATE TABLE import_choice (
        import_id bigint NOT NULL,
        model text NOT NULL,
        ordinal bigint NOT NULL,
        policy smallint NOT NULL,
        CONSTRAINT import_choice_pkey PRIMARY KEY (import_id, model, ordinal)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE import_choice")
