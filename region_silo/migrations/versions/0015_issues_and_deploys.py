"""Environments, deploys, pull requests, issues with their resolutions, and requests to fetch commits."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# A purge deletes batch by batch, by organization.
_INDEXED = (
    "environment_project",
    "release_environment",
    "release_project_environment",
    "deploy_project",
    "latest_repository_deploy",
    "pull_request_commit",
    "project_counter",
    "issue_link",
    "issue_resolution",
    "issue_inbox",
    "issue_history",
    "issue_release",
    "commit_fetch",
)

STATEMENTS = (
    # The empty name is legal and means no environment.
    """
    CREATE TABLE environment (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT environment_pkey PRIMARY KEY,
        organization_id bigint NOT NULL CONSTRAINT environment_organization_id_fkey REFERENCES organization (id),
        name text NOT NULL,
        date_added timestamptz NOT NULL,
        CONSTRAINT environment_organization_id_name_key UNIQUE (organization_id, name),
        CONSTRAINT environment_name_check CHECK (length(name) <= 64)
    )
    """,
    """
    CREATE TABLE environment_project (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT environment_project_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        project_id bigint NOT NULL CONSTRAINT environment_project_project_id_fkey REFERENCES project (id),
        environment_id bigint NOT NULL
            CONSTRAINT environment_project_environment_id_fkey REFERENCES environment (id) ON DELETE CASCADE,
        is_hidden boolean,
        CONSTRAINT environment_project_project_id_environment_id_key UNIQUE (project_id, environment_id)
    )
    """,
    "CREATE INDEX environment_project_environment_id_idx ON environment_project (environment_id)",
    """
    CREATE TABLE release_environment (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT release_environment_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        release_id bigint NOT NULL
            CONSTRAINT release_environment_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        environment_id bigint NOT NULL
            CONSTRAINT release_environment_environment_id_fkey REFERENCES environment (id) ON DELETE CASCADE,
        first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL,
        CONSTRAINT release_environment_release_id_environment_id_key UNIQUE (release_id, environment_id)
    )
    """,
    "CREATE INDEX release_environment_environment_id_idx ON release_environment (environment_id, release_id)",
    # adopted and unadopted tell the stage: adopted alone is adopted, both are replaced, none is low adoption.
    """
    CREATE TABLE release_project_environment (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT release_project_environment_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        release_id bigint NOT NULL
            CONSTRAINT release_project_environment_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        project_id bigint NOT NULL CONSTRAINT release_project_environment_project_id_fkey REFERENCES project (id),
        environment_id bigint NOT NULL
            CONSTRAINT release_project_environment_environment_id_fkey REFERENCES environment (id) ON DELETE CASCADE,
        new_issues_count integer NOT NULL DEFAULT 0,
        first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL,
        last_deploy_id bigint,
        adopted timestamptz,
        unadopted timestamptz,
        CONSTRAINT release_project_environment_release_id_project_id_environment_id_key
            UNIQUE (release_id, project_id, environment_id)
    )
    """,
    """
    CREATE INDEX release_project_environment_project_id_environment_id_idx
        ON release_project_environment (project_id, environment_id, adopted)
    """,
    "CREATE INDEX release_project_environment_environment_id_idx ON release_project_environment (environment_id)",
    # date_finished is null while the deploy runs; announced_at is when its messages were written, once.
    """
    CREATE TABLE deploy (
        id bigint CONSTRAINT deploy_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        release_id bigint NOT NULL CONSTRAINT deploy_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        environment_id bigint NOT NULL CONSTRAINT deploy_environment_id_fkey REFERENCES environment (id),
        name text,
        url text,
        date_added timestamptz NOT NULL,
        date_started timestamptz,
        date_finished timestamptz,
        announced_at timestamptz,
        row_version bigint NOT NULL DEFAULT 1
    )
    """,
    "CREATE INDEX deploy_release_id_environment_id_idx ON deploy (release_id, environment_id, date_finished, id)",
    "CREATE INDEX deploy_environment_id_idx ON deploy (environment_id)",
    "CREATE INDEX deploy_organization_id_id_idx ON deploy (organization_id, id)",
    """
    CREATE INDEX deploy_release_id_unannounced_idx ON deploy (release_id) WHERE announced_at IS NULL
    """,
    """
    CREATE TABLE deploy_project (
        deploy_id bigint NOT NULL CONSTRAINT deploy_project_deploy_id_fkey REFERENCES deploy (id) ON DELETE CASCADE,
        project_id bigint NOT NULL CONSTRAINT deploy_project_project_id_fkey REFERENCES project (id),
        organization_id bigint NOT NULL,
        CONSTRAINT deploy_project_pkey PRIMARY KEY (deploy_id, project_id)
    )
    """,
    "CREATE INDEX deploy_project_project_id_idx ON deploy_project (project_id, deploy_id)",
    # What an environment runs of a repository, by the deploy that finished last.
    """
    CREATE TABLE latest_repository_deploy (
        repository_id bigint NOT NULL
            CONSTRAINT latest_repository_deploy_repository_id_fkey REFERENCES repository (id) ON DELETE CASCADE,
        environment_id bigint NOT NULL
            CONSTRAINT latest_repository_deploy_environment_id_fkey REFERENCES environment (id) ON DELETE CASCADE,
        organization_id bigint NOT NULL,
        release_id bigint NOT NULL
            CONSTRAINT latest_repository_deploy_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        deploy_id bigint NOT NULL
            CONSTRAINT latest_repository_deploy_deploy_id_fkey REFERENCES deploy (id) ON DELETE CASCADE,
        commit_id bigint NOT NULL,
        CONSTRAINT latest_repository_deploy_pkey PRIMARY KEY (repository_id, environment_id)
    )
    """,
    "CREATE INDEX latest_repository_deploy_release_id_idx ON latest_repository_deploy (release_id)",
    "CREATE INDEX latest_repository_deploy_deploy_id_idx ON latest_repository_deploy (deploy_id)",
    "CREATE INDEX latest_repository_deploy_environment_id_idx ON latest_repository_deploy (environment_id)",
    # key: the number that the repository's provider gave it.
    """
    CREATE TABLE pull_request (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pull_request_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        repository_id bigint NOT NULL
            CONSTRAINT pull_request_repository_id_fkey REFERENCES repository (id) ON DELETE CASCADE,
        key text NOT NULL,
        date_added timestamptz NOT NULL,
        title text,
        message text,
        author_id bigint,
        merge_commit_key text,
        CONSTRAINT pull_request_repository_id_key_key UNIQUE (repository_id, key)
    )
    """,
    """
    CREATE INDEX pull_request_repository_id_merge_commit_key_idx ON pull_request (repository_id, merge_commit_key)
        WHERE merge_commit_key IS NOT NULL
    """,
    "CREATE INDEX pull_request_organization_id_id_idx ON pull_request (organization_id, id)",
    """
    CREATE TABLE pull_request_commit (
        pull_request_id bigint NOT NULL
            CONSTRAINT pull_request_commit_pull_request_id_fkey REFERENCES pull_request (id) ON DELETE CASCADE,
        commit_id bigint NOT NULL,
        organization_id bigint NOT NULL,
        CONSTRAINT pull_request_commit_pkey PRIMARY KEY (pull_request_id, commit_id)
    )
    """,
    "CREATE INDEX pull_request_commit_commit_id_idx ON pull_request_commit (commit_id)",
    # The last short id that a project gave to an issue.
    """
    CREATE TABLE project_counter (
        project_id bigint CONSTRAINT project_counter_pkey PRIMARY KEY
            CONSTRAINT project_counter_project_id_fkey REFERENCES project (id) ON DELETE CASCADE,
        organization_id bigint NOT NULL,
        value bigint NOT NULL
    )
    """,
    # status: 0 unresolved, 1 resolved, 2 ignored, 3 pending deletion, 4 deletion in progress, 5 pending merge.
    """
    CREATE TABLE issue (
        id bigint CONSTRAINT issue_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        project_id bigint NOT NULL CONSTRAINT issue_project_id_fkey REFERENCES project (id),
        short_id bigint NOT NULL,
        title text NOT NULL,
        status smallint NOT NULL DEFAULT 0,
        substatus smallint,
        resolved_at timestamptz,
        first_release_id bigint CONSTRAINT issue_first_release_id_fkey REFERENCES release (id),
        first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL,
        row_version bigint NOT NULL DEFAULT 1,
        CONSTRAINT issue_project_id_short_id_key UNIQUE (project_id, short_id),
        CONSTRAINT issue_status_check CHECK (status BETWEEN 0 AND 5)
    )
    """,
    "CREATE INDEX issue_organization_id_id_idx ON issue (organization_id, id)",
    "CREATE INDEX issue_first_release_id_idx ON issue (first_release_id) WHERE first_release_id IS NOT NULL",
    # linked_type: 1 commit, 2 pull request, 3 tracker issue; relationship: 1 resolves, 2 references.
    """
    CREATE TABLE issue_link (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT issue_link_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        issue_id bigint NOT NULL CONSTRAINT issue_link_issue_id_fkey REFERENCES issue (id) ON DELETE CASCADE,
        project_id bigint NOT NULL,
        linked_type smallint NOT NULL,
        linked_id bigint NOT NULL,
        relationship smallint NOT NULL DEFAULT 2,
        data jsonb NOT NULL DEFAULT '{}',
        datetime timestamptz NOT NULL,
        CONSTRAINT issue_link_issue_id_linked_type_linked_id_key UNIQUE (issue_id, linked_type, linked_id),
        CONSTRAINT issue_link_linked_type_check CHECK (linked_type BETWEEN 1 AND 3),
        CONSTRAINT issue_link_relationship_check CHECK (relationship BETWEEN 1 AND 2)
    )
    """,
    "CREATE INDEX issue_link_linked_type_linked_id_idx ON issue_link (linked_type, linked_id)",
    # An issue of a tracker outside, which an integration keeps in step.
    """
    CREATE TABLE tracker_issue (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT tracker_issue_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        integration text NOT NULL,
        key text NOT NULL,
        title text,
        url text,
        date_added timestamptz NOT NULL,
        CONSTRAINT tracker_issue_organization_id_integration_key_key UNIQUE (organization_id, integration, key)
    )
    """,
    # type: 0 in release, 1 in next release; status: 0 pending, 1 resolved.
    """
    CREATE TABLE issue_resolution (
        issue_id bigint CONSTRAINT issue_resolution_pkey PRIMARY KEY
            CONSTRAINT issue_resolution_issue_id_fkey REFERENCES issue (id) ON DELETE CASCADE,
        organization_id bigint NOT NULL,
        release_id bigint NOT NULL
            CONSTRAINT issue_resolution_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        current_release_version text,
        future_release_version text,
        type smallint NOT NULL,
        status smallint NOT NULL,
        actor_id bigint,
        datetime timestamptz NOT NULL,
        CONSTRAINT issue_resolution_type_check CHECK (type BETWEEN 0 AND 1),
        CONSTRAINT issue_resolution_status_check CHECK (status BETWEEN 0 AND 1)
    )
    """,
    "CREATE INDEX issue_resolution_release_id_idx ON issue_resolution (release_id)",
    # reason: 0 new, 1 unignored, 2 regression, 3 manual, 4 reprocessed.
    """
    CREATE TABLE issue_inbox (
        issue_id bigint CONSTRAINT issue_inbox_pkey PRIMARY KEY
            CONSTRAINT issue_inbox_issue_id_fkey REFERENCES issue (id) ON DELETE CASCADE,
        organization_id bigint NOT NULL,
        project_id bigint NOT NULL,
        reason smallint NOT NULL,
        reason_details jsonb,
        date_added timestamptz NOT NULL
    )
    """,
    # status: 0 unresolved, 1 resolved, 7 regressed, 10 reviewed, 11, 12, 13 set resolved in release, commit, pull request.
    """
    CREATE TABLE issue_history (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT issue_history_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        issue_id bigint NOT NULL CONSTRAINT issue_history_issue_id_fkey REFERENCES issue (id) ON DELETE CASCADE,
        project_id bigint NOT NULL,
        release_id bigint,
        user_id bigint,
        team_id bigint,
        status smallint NOT NULL,
        prev_history_id bigint,
        prev_history_date timestamptz,
        date_added timestamptz NOT NULL
    )
    """,
    "CREATE INDEX issue_history_issue_id_id_idx ON issue_history (issue_id, id)",
    """
    CREATE TABLE issue_release (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT issue_release_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        project_id bigint NOT NULL,
        issue_id bigint NOT NULL CONSTRAINT issue_release_issue_id_fkey REFERENCES issue (id) ON DELETE CASCADE,
        release_id bigint NOT NULL
            CONSTRAINT issue_release_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        environment text NOT NULL,
        first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL,
        CONSTRAINT issue_release_issue_id_release_id_environment_key UNIQUE (issue_id, release_id, environment)
    )
    """,
    "CREATE INDEX issue_release_release_id_idx ON issue_release (release_id)",
    # state: queued, running, succeeded, failed. refs: what is to be fetched, ranges taken apart, with what became of each.
    """
    CREATE TABLE commit_fetch (
        id bigint CONSTRAINT commit_fetch_pkey PRIMARY KEY,
        organization_id bigint NOT NULL,
        release_id bigint NOT NULL
            CONSTRAINT commit_fetch_release_id_fkey REFERENCES release (id) ON DELETE CASCADE,
        principal text NOT NULL,
        user_id bigint,
        previous_release_id bigint,
        refs jsonb NOT NULL,
        state text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        commit_count integer NOT NULL DEFAULT 0,
        error_reason text,
        error_message text,
        next_try_at timestamptz,
        lease_token text,
        lease_until timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT commit_fetch_state_check CHECK (state IN ('queued', 'running', 'succeeded', 'failed'))
    )
    """,
    "CREATE INDEX commit_fetch_state_next_try_at_idx ON commit_fetch (next_try_at) WHERE state IN ('queued', 'running')",
    "CREATE INDEX commit_fetch_release_id_id_idx ON commit_fetch (release_id, id)",
    "CREATE INDEX commit_fetch_created_at_idx ON commit_fetch (created_at)",
    # type: 17 deploy; of an activity about a deploy, which.
    "ALTER TABLE activity ADD COLUMN deploy_id bigint",
    """
    CREATE UNIQUE INDEX activity_project_id_deploy_id_key ON activity (project_id, deploy_id) WHERE type = 17
    """,
    "CREATE INDEX activity_group_id_datetime_idx ON activity (group_id, datetime) WHERE group_id IS NOT NULL",
    # The orders of lists: by number of the build, and by version.
    """
    CREATE INDEX release_organization_id_build_number_idx ON release (organization_id, build_number, id)
        WHERE build_number IS NOT NULL
    """,
    """
    CREATE INDEX release_organization_id_semver_idx ON release (
        organization_id, major, minor, patch, revision, (CASE WHEN prerelease = '' THEN 1 ELSE 0 END), prerelease,
        date_added, id
    ) WHERE major IS NOT NULL
    """,
    "CREATE INDEX release_organization_id_package_idx ON release (organization_id, package) WHERE package IS NOT NULL",
    *(f"CREATE INDEX {table}_organization_id_idx ON {table} (organization_id)" for table in _INDEXED),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX release_organization_id_package_idx, release_organization_id_semver_idx")
    op.execute("DROP INDEX release_organization_id_build_number_idx")
    op.execute("DROP INDEX activity_group_id_datetime_idx, activity_project_id_deploy_id_key")
    op.execute("ALTER TABLE activity DROP COLUMN deploy_id")
    op.execute(
        "DROP TABLE commit_fetch, issue_release, issue_history, issue_inbox, issue_resolution, tracker_issue, issue_link,"
        " issue, project_counter, pull_request_commit, pull_request, latest_repository_deploy, deploy_project, deploy,"
        " release_project_environment, release_environment, environment_project, environment"
    )
