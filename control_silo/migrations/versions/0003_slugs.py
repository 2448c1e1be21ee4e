"""Slug reservations and the mapping of organizations to regions."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    # type: 0 PRIMARY, 1 VANITY_ALIAS, 2 TEMPORARY_RENAME_ALIAS, 3 REDIRECT. state: 0 HELD, 1 ACTIVE, 2 QUARANTINED.
    """
    CREATE TABLE slug_reservation (
        slug text CONSTRAINT slug_reservation_pkey PRIMARY KEY,
        organization_id bigint,
        holder text NOT NULL,
        region text NOT NULL,
        type smallint NOT NULL,
        state smallint NOT NULL,
        fence_version bigint NOT NULL,
        expires_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT slug_reservation_slug_check CHECK (slug = lower(slug) AND slug <> ''),
        CONSTRAINT slug_reservation_type_check CHECK (type BETWEEN 0 AND 3),
        CONSTRAINT slug_reservation_state_check CHECK (state BETWEEN 0 AND 2)
    )
    """,
    """
    CREATE UNIQUE INDEX slug_reservation_organization_id_type_key
        ON slug_reservation (organization_id, type) WHERE type <> 3
    """,
    """
    CREATE TABLE organization_mapping (
        organization_id bigint CONSTRAINT organization_mapping_pkey PRIMARY KEY,
        slug text CONSTRAINT organization_mapping_slug_key UNIQUE,
        name text NOT NULL,
        region text NOT NULL,
        state text NOT NULL,
        version bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX organization_mapping_region_idx ON organization_mapping (region, organization_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE organization_mapping, slug_reservation")
