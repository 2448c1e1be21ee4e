"""Members mostly have neither a token nor an invited address, and users no address that the region knows yet: what is
not there is not entered in an index.
"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_MEMBER_KEYS = {
    "organization_member_token_key": "token",
    "organization_member_organization_id_email_key": "organization_id, email",
}


def upgrade() -> None:
    for name, columns in _MEMBER_KEYS.items():
        subject = columns.rpartition(" ")[2]
        op.execute(f"ALTER TABLE organization_member DROP CONSTRAINT {name}")
        op.execute(f"CREATE UNIQUE INDEX {name} ON organization_member ({columns}) WHERE {subject} IS NOT NULL")
    op.execute("DROP INDEX known_user_addresses_idx")
    op.execute("CREATE INDEX known_user_addresses_idx ON known_user USING gin (addresses) WHERE addresses <> '{}'")


def downgrade() -> None:
    op.execute("DROP INDEX known_user_addresses_idx")
    op.execute("CREATE INDEX known_user_addresses_idx ON known_user USING gin (addresses)")
    for name, columns in _MEMBER_KEYS.items():
        op.execute(f"DROP INDEX {name}")
        op.execute(f"ALTER TABLE organization_member ADD CONSTRAINT {name} UNIQUE ({columns})")
