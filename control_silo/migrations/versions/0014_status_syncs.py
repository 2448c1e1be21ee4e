"""What trackers outside are to be told of issues, as regions announced it."""

from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE status_sync (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT status_sync_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        issue_id bigint NOT NULL,
        integration text NOT NULL,
        key text NOT NULL,
        resolved boolean NOT NULL,
        version text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX status_sync_organization_id_id_idx ON status_sync (organization_id, id)",
    "CREATE INDEX status_sync_created_at_idx ON status_sync (created_at)",
    # With an organization's mapping goes what was to be told of its issues.
    """
    CREATE FUNCTION forget_status_syncs() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM status_sync WHERE organization_id = OLD.organization_id;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER organization_mapping_forget_status_syncs AFTER DELETE ON organization_mapping
        FOR EACH ROW EXECUTE FUNCTION forget_status_syncs()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER organization_mapping_forget_status_syncs ON organization_mapping")
    op.execute("DROP FUNCTION forget_status_syncs")
    op.execute("DROP TABLE status_sync")
