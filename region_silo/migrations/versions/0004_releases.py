"""Releases, repositories, commits and activities."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    # status: 0 open, 1 archived. authors holds ids of commit_author as text. last_commit_id is no foreign key.
    """
    CREATE TABLE release (
        id bigint CONSTRAINT release_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT release_organization_id_fkey REFERENCES organization (id),
        version text NOT NULL,
        status smallint NOT NULL,
        ref text,
        url text,
        date_added timestamptz NOT NULL,
        date_released timestamptz,
        data jsonb NOT NULL DEFAULT '{}',
        owner_id bigint,
        commit_count integer NOT NULL DEFAULT 0,
        last_commit_id bigint,
        authors text[] NOT NULL DEFAULT '{}',
        total_deploys integer NOT NULL DEFAULT 0,
        last_deploy_id bigint,
        package text,
        major bigint,
        minor bigint,
        patch bigint,
        revision bigint,
        prerelease text,
        build_code text,
        build_number bigint,
        user_agent text,
        row_version bigint NOT NULL DEFAULT 1,
        CONSTRAINT release_organization_id_version_key UNIQUE (organization_id, version),
        CONSTRAINT release_status_check CHECK (status BETWEEN 0 AND 1),
        CONSTRAINT release_version_check CHECK (length(version) BETWEEN 1 AND 250)
    )
    """,
    "CREATE INDEX release_organization_id_date_added_id_idx ON release (organization_id, date_added, id)",
    """
    CREATE TABLE release_project (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT release_project_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        project_id bigint NOT NULL CONSTRAINT release_project_project_id_fkey REFERENCES project (id),
        release_id bigint NOT NULL
            CONSTRAINT release_project_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        new_groups integer NOT NULL DEFAULT 0,
        adopted timestamptz,
        unadopted timestamptz,
        first_seen_transaction timestamptz,
        CONSTRAINT release_project_release_id_project_id_key UNIQUE (release_id, project_id)
    )
    """,
    "CREATE INDEX release_project_project_id_release_id_idx ON release_project (project_id, release_id)",
    # status: 0 active. A name belongs to at most one active repository without a provider.
    """
    CREATE TABLE repository (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT repository_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT repository_organization_id_fkey REFERENCES organization (id),
        name text NOT NULL,
        url text,
        provider text,
        external_id text,
        config jsonb NOT NULL DEFAULT '{}',
        status smallint NOT NULL DEFAULT 0,
        date_added timestamptz NOT NULL,
        integration_id bigint,
        languages text[],
        CONSTRAINT repository_organization_id_provider_external_id_key UNIQUE (organization_id, provider, external_id)
    )
    """,
    """
    CREATE UNIQUE INDEX repository_organization_id_name_key ON repository (organization_id, name)
        WHERE status = 0 AND provider IS NULL
    """,
    "CREATE INDEX repository_organization_id_name_idx ON repository (organization_id, name)",
    """
    CREATE TABLE commit_author (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT commit_author_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        name text,
        email text NOT NULL,
        external_id text,
        CONSTRAINT commit_author_organization_id_email_key UNIQUE (organization_id, email),
        CONSTRAINT commit_author_organization_id_external_id_key UNIQUE (organization_id, external_id)
    )
    """,
    # Rows that come by the ten thousand have no foreign keys: their checks cost more than all the rest of the write.
    # Repositories, authors and commits are made in the transaction that refers to them, and are never deleted; whoever
    # deletes a release deletes its release_commit rows in the same transaction.
    # commit_time is what a client said; date_added is when the row was made.
    """
    CREATE TABLE commit (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT commit_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        repository_id bigint NOT NULL,
        key text NOT NULL,
        author_id bigint,
        message text,
        commit_time timestamptz,
        date_added timestamptz NOT NULL,
        CONSTRAINT commit_repository_id_key_key UNIQUE (repository_id, key)
    )
    """,
    # type: A added, D deleted, M modified.
    """
    CREATE TABLE commit_file_change (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT commit_file_change_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        commit_id bigint NOT NULL,
        filename text NOT NULL,
        type text NOT NULL,
        CONSTRAINT commit_file_change_commit_id_filename_key UNIQUE (commit_id, filename),
        CONSTRAINT commit_file_change_type_check CHECK (type IN ('A', 'D', 'M'))
    )
    """,
    # position: higher is newer.
    """
    CREATE TABLE release_commit (
        release_id bigint NOT NULL,
        commit_id bigint NOT NULL,
        organization_id bigint NOT NULL,
        position bigint NOT NULL,
        CONSTRAINT release_commit_pkey PRIMARY KEY (release_id, commit_id),
        CONSTRAINT release_commit_release_id_position_key UNIQUE (release_id, position)
    )
    """,
    """
    CREATE TABLE release_head_commit (
        release_id bigint NOT NULL
            CONSTRAINT release_head_commit_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        repository_id bigint NOT NULL CONSTRAINT release_head_commit_repository_id_fkey REFERENCES repository (id),
        organization_id bigint NOT NULL,
        commit_id bigint NOT NULL CONSTRAINT release_head_commit_commit_id_fkey REFERENCES commit (id),
        CONSTRAINT release_head_commit_pkey PRIMARY KEY (release_id, repository_id)
    )
    """,
    "CREATE INDEX release_head_commit_repository_id_idx ON release_head_commit (repository_id)",
    "CREATE INDEX release_head_commit_commit_id_idx ON release_head_commit (commit_id)",
    # type: 10 release. version_digest is there for activities about a release: the whole version, made short.
    """
    CREATE TABLE activity (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT activity_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        project_id bigint NOT NULL CONSTRAINT activity_project_id_fkey REFERENCES project (id),
        group_id bigint,
        type integer NOT NULL,
        ident text,
        user_id bigint,
        datetime timestamptz NOT NULL,
        data jsonb NOT NULL DEFAULT '{}',
        version_digest bytea
    )
    """,
    """
    CREATE UNIQUE INDEX activity_project_id_type_version_digest_key ON activity (project_id, type, version_digest)
        WHERE type = 10
    """,
    "CREATE INDEX activity_project_id_datetime_idx ON activity (project_id, datetime)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DROP TABLE activity, release_head_commit, release_commit, commit_file_change, commit, commit_author, repository,"
        " release_project, release"
    )
