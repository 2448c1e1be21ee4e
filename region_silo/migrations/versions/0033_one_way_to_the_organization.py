"""Rows that join others reach their organization through those: a key of their own to it was checked for every row.

What they join refers to the organization, and cannot go before they do; that both name the same one is checked when
they are written.
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

TABLES = ("organization_member_team", "project_team", "project_key")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_organization_id_fkey")


def downgrade() -> None:
    for table in TABLES:
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {table}_organization_id_fkey"
            " FOREIGN KEY (organization_id) REFERENCES organization (id)"
        )
