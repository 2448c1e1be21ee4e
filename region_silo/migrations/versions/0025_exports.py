"""Exports and how far they have come."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

STATEMENTS = (
    # scope: 1 user, 2 organization, 3 config, 4 global. state: 1 queued, 2 building, 3 succeeded, 4 failed, 5 cancelled.
    # organization_id: the only one that it holds, when its creator is bound to it; then it goes with it.
    # usernames, organization_slugs: NULL lets all pass. file_token: names the file, once it is whole.
    """
    CREATE TABLE data_export (
        id bigint CONSTRAINT data_export_pkey PRIMARY KEY,
        organization_id bigint,
        principal text NOT NULL,
        scope smallint NOT NULL,
        state smallint NOT NULL,
        usernames text[],
        organization_slugs text[],
        size_bytes bigint NOT NULL,
        sha256 text NOT NULL,
        object_count bigint NOT NULL,
        models jsonb NOT NULL,
        file_token uuid,
        error jsonb,
        lease_token uuid,
        lease_until timestamptz,
        attempts integer NOT NULL,
        peer_failures integer NOT NULL,
        available_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL,
        started_at timestamptz,
        ended_at timestamptz,
        updated_at timestamptz NOT NULL,
        CONSTRAINT data_export_scope_check CHECK (scope BETWEEN 1 AND 4),
        CONSTRAINT data_export_state_check CHECK (state BETWEEN 1 AND 5)
    )
    """,
    "CREATE INDEX data_export_organization_id_idx ON data_export (organization_id, id)",
    "CREATE INDEX data_export_open_idx ON data_export (available_at) WHERE state BETWEEN 1 AND 2",
    "CREATE INDEX data_export_principal_idx ON data_export (principal, id)",
    "CREATE INDEX data_export_ended_at_idx ON data_export (ended_at) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE data_export")
