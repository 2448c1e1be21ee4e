"""The replica of control's directory of regions."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE region_directory (
        name text CONSTRAINT region_directory_pkey PRIMARY KEY,
        number smallint NOT NULL,
        public_address text NOT NULL,
        version bigint NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE region_directory")
