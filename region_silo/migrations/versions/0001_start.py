"""The tables that every silo has."""

from alembic import op

from shared.migrations.start import SHARED_TABLES

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in SHARED_TABLES:
        op.execute(statement)
