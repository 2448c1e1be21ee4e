"""Which organization was made for which of control's requests."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Kept for ever: a request that comes again must not make another organization.
    op.execute(
        """
        CREATE TABLE organization_provision (
            change_set text CONSTRAINT organization_provision_pkey PRIMARY KEY,
            organization_id bigint NOT NULL,
            version bigint NOT NULL,
            created_at timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE organization_provision")
