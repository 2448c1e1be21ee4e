"""How far control and each region are known to be equal, and where they differ."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS = (
    # One process at a time compares a region; it is due again at due_at.
    """
    CREATE TABLE reconciliation_lease (
        region text CONSTRAINT reconciliation_lease_pkey PRIMARY KEY,
        due_at timestamptz NOT NULL,
        token uuid,
        lease_until timestamptz,
        failures integer NOT NULL DEFAULT 0,
        last_error text NOT NULL DEFAULT '',
        CONSTRAINT reconciliation_lease_token_check CHECK ((token IS NULL) = (lease_until IS NULL))
    )
    """,
    """
    CREATE TABLE reconciliation (
        region text NOT NULL,
        kind text NOT NULL
            CONSTRAINT reconciliation_kind_check CHECK (kind IN ('token', 'region', 'organization', 'slug')),
        equal_up_to timestamptz,
        started_at timestamptz,
        finished_at timestamptz,
        position bigint NOT NULL DEFAULT 0,
        row_count bigint NOT NULL DEFAULT 0,
        duration_ms bigint NOT NULL DEFAULT 0,
        CONSTRAINT reconciliation_pkey PRIMARY KEY (region, kind)
    )
    """,
    """
    CREATE TABLE reconciliation_difference (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT reconciliation_difference_pkey PRIMARY KEY,
        region text NOT NULL,
        kind text NOT NULL,
        subject text NOT NULL,
        nature text NOT NULL,
        state text NOT NULL
            CONSTRAINT reconciliation_difference_state_check CHECK (state IN ('pending', 'different', 'resolved')),
        repair text NOT NULL,
        control_has text NOT NULL,
        region_has text NOT NULL,
        first_seen_at timestamptz NOT NULL,
        last_seen_at timestamptz NOT NULL,
        resolved_at timestamptz,
        repair_requested_at timestamptz,
        repaired_at timestamptz,
        repair_count integer NOT NULL DEFAULT 0,
        CONSTRAINT reconciliation_difference_resolved_at_check CHECK ((resolved_at IS NULL) = (state <> 'resolved'))
    )
    """,
    """
    CREATE UNIQUE INDEX reconciliation_difference_subject_key
        ON reconciliation_difference (region, kind, subject) WHERE resolved_at IS NULL
    """,
    """
    CREATE INDEX reconciliation_difference_resolved_at_idx
        ON reconciliation_difference (resolved_at) WHERE resolved_at IS NOT NULL
    """,
    "CREATE INDEX slug_reservation_region_idx ON slug_reservation (region, organization_id) WHERE type = 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX slug_reservation_region_idx")
    op.execute("DROP TABLE reconciliation_difference, reconciliation, reconciliation_lease")
