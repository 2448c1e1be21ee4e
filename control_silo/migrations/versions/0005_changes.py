"""Changes of organizations that silos carry out together; redirects that are counted; fences that outlive their slugs."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    # kind: 1 PROVISION, 2 RENAME, 3 SWAP. A provision that succeeded is kept for ever: its request id stands for the
    # organization.
    """
    CREATE TABLE organization_change (
        principal text NOT NULL,
        request_id uuid NOT NULL,
        kind smallint NOT NULL CONSTRAINT organization_change_kind_check CHECK (kind BETWEEN 1 AND 3),
        state text NOT NULL
            CONSTRAINT organization_change_state_check CHECK (state IN ('RUNNING', 'SUCCEEDED', 'FAILED')),
        fingerprint bytea NOT NULL,
        region text NOT NULL,
        organization_id bigint,
        slug text NOT NULL,
        plan jsonb NOT NULL,
        error jsonb,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT organization_change_pkey PRIMARY KEY (principal, request_id)
    )
    """,
    """
    CREATE INDEX organization_change_updated_at_idx ON organization_change (updated_at)
        WHERE state <> 'RUNNING' AND (kind <> 1 OR state = 'FAILED')
    """,
    """
    CREATE INDEX organization_change_organization_id_idx ON organization_change (organization_id)
        WHERE organization_id IS NOT NULL
    """,
    "ALTER TABLE slug_reservation ADD COLUMN use_count bigint NOT NULL DEFAULT 0",
    "ALTER TABLE slug_reservation ADD COLUMN last_used_at timestamptz",
    "CREATE INDEX slug_reservation_expires_at_idx ON slug_reservation (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE INDEX slug_reservation_redirect_idx ON slug_reservation (organization_id, slug) WHERE type = 3",
    "ALTER TABLE organization_mapping ADD COLUMN fence_version bigint NOT NULL DEFAULT 0",
    """
    UPDATE organization_mapping AS mapping SET fence_version = held.fence_version
    FROM (
        SELECT organization_id, max(fence_version) AS fence_version FROM slug_reservation GROUP BY organization_id
    ) AS held
    WHERE held.organization_id = mapping.organization_id
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE organization_mapping DROP COLUMN fence_version")
    op.execute("DROP INDEX slug_reservation_redirect_idx, slug_reservation_expires_at_idx")
    op.execute("ALTER TABLE slug_reservation DROP COLUMN last_used_at, DROP COLUMN use_count")
    op.execute("DROP TABLE organization_change")
