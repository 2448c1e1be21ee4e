"""Organizations with their members, teams and projects."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    # state: 0 IMPORTING, 1 ACTIVE. status is the imported system's own.
    """
    CREATE TABLE organization (
        id bigint CONSTRAINT organization_pkey PRIMARY KEY,
        slug text CONSTRAINT organization_slug_key UNIQUE,
        base_slug text NOT NULL,
        name text NOT NULL,
        state smallint NOT NULL,
        status integer NOT NULL,
        default_role text NOT NULL,
        flags bigint NOT NULL,
        is_test boolean NOT NULL,
        date_added timestamptz NOT NULL,
        import_id bigint,
        fence_version bigint NOT NULL DEFAULT 0,
        version bigint NOT NULL DEFAULT 1,
        CONSTRAINT organization_slug_check CHECK (slug = lower(slug)),
        CONSTRAINT organization_state_check CHECK (state BETWEEN 0 AND 1)
    )
    """,
    "CREATE INDEX organization_import_id_idx ON organization (import_id) WHERE import_id IS NOT NULL",
    """
    CREATE TABLE team (
        id bigint CONSTRAINT team_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT team_organization_id_fkey REFERENCES organization (id),
        slug text NOT NULL,
        name text NOT NULL,
        status integer NOT NULL,
        idp_provisioned boolean NOT NULL,
        date_added timestamptz NOT NULL,
        CONSTRAINT team_organization_id_slug_key UNIQUE (organization_id, slug)
    )
    """,
    """
    CREATE TABLE organization_member (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT organization_member_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT organization_member_organization_id_fkey REFERENCES organization (id),
        user_id bigint,
        email text,
        role text NOT NULL,
        flags bigint NOT NULL,
        token text CONSTRAINT organization_member_token_key UNIQUE,
        token_expires_at timestamptz,
        has_global_access boolean NOT NULL,
        inviter_id bigint,
        invite_status integer NOT NULL,
        type integer NOT NULL,
        user_email text,
        user_is_active boolean NOT NULL,
        date_added timestamptz NOT NULL,
        CONSTRAINT organization_member_organization_id_user_id_key UNIQUE (organization_id, user_id),
        CONSTRAINT organization_member_organization_id_email_key UNIQUE (organization_id, email)
    )
    """,
    """
    CREATE TABLE organization_member_team (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT organization_member_team_pkey PRIMARY KEY,
        organization_id bigint NOT NULL
            CONSTRAINT organization_member_team_organization_id_fkey REFERENCES organization (id),
        organization_member_id bigint NOT NULL
            CONSTRAINT organization_member_team_organization_member_id_fkey REFERENCES organization_member (id),
        team_id bigint NOT NULL CONSTRAINT organization_member_team_team_id_fkey REFERENCES team (id),
        is_active boolean NOT NULL,
        role text,
        CONSTRAINT organization_member_team_team_id_organization_member_id_key UNIQUE (team_id, organization_member_id)
    )
    """,
    """
    CREATE TABLE project (
        id bigint CONSTRAINT project_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT project_organization_id_fkey REFERENCES organization (id),
        slug text NOT NULL,
        name text NOT NULL,
        platform text,
        status integer NOT NULL,
        flags bigint NOT NULL,
        public boolean NOT NULL,
        first_event timestamptz,
        forced_color text,
        template_id bigint,
        date_added timestamptz NOT NULL,
        version bigint NOT NULL DEFAULT 1,
        CONSTRAINT project_organization_id_slug_key UNIQUE (organization_id, slug)
    )
    """,
    """
    CREATE TABLE project_team (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT project_team_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT project_team_organization_id_fkey REFERENCES organization (id),
        project_id bigint NOT NULL CONSTRAINT project_team_project_id_fkey REFERENCES project (id),
        team_id bigint NOT NULL CONSTRAINT project_team_team_id_fkey REFERENCES team (id),
        CONSTRAINT project_team_project_id_team_id_key UNIQUE (project_id, team_id)
    )
    """,
    """
    CREATE TABLE project_key (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT project_key_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT project_key_organization_id_fkey REFERENCES organization (id),
        project_id bigint NOT NULL CONSTRAINT project_key_project_id_fkey REFERENCES project (id),
        label text,
        public_key text NOT NULL CONSTRAINT project_key_public_key_key UNIQUE,
        secret_key text NOT NULL CONSTRAINT project_key_secret_key_key UNIQUE,
        roles bigint NOT NULL,
        status integer NOT NULL,
        rate_limit_count integer,
        rate_limit_window integer,
        data jsonb NOT NULL,
        use_case text NOT NULL,
        date_added timestamptz
    )
    """,
    "CREATE INDEX project_key_project_id_idx ON project_key (project_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DROP TABLE project_key, project_team, project, organization_member_team, organization_member, team, organization"
    )
