"""What regions announce to integrations, each once, in an order that can be followed."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = (
    # number: the place among the organization's, given under the counter's lock, so that it ascends in the order of
    # commits. An identity's numbers do not, and who follows them would miss some.
    """
    CREATE TABLE announcement (
        organization_id bigint NOT NULL,
        number bigint NOT NULL,
        region text NOT NULL,
        kind text NOT NULL,
        key text NOT NULL,
        payload jsonb NOT NULL,
        received_at timestamptz NOT NULL,
        CONSTRAINT announcement_pkey PRIMARY KEY (organization_id, number),
        CONSTRAINT announcement_region_kind_key_key UNIQUE (region, kind, key),
        CONSTRAINT announcement_kind_check CHECK (kind IN ('deploy', 'status_sync'))
    )
    """,
    "CREATE INDEX announcement_received_at_idx ON announcement (received_at)",
    # The last number of each organization; it outlives the announcements, for numbers are never given again.
    """
    CREATE TABLE announcement_counter (
        organization_id bigint CONSTRAINT announcement_counter_pkey PRIMARY KEY,
        value bigint NOT NULL
    )
    """,
    # Whoever ends a mapping ends what was announced with it.
    """
    CREATE FUNCTION forget_announcements() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM announcement_counter WHERE organization_id = OLD.organization_id;
        DELETE FROM announcement WHERE organization_id = OLD.organization_id;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER organization_mapping_forget_announcements AFTER DELETE ON organization_mapping
        FOR EACH ROW EXECUTE FUNCTION forget_announcements()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER organization_mapping_forget_announcements ON organization_mapping")
    op.execute("DROP FUNCTION forget_announcements")
    op.execute("DROP TABLE announcement_counter, announcement")
