"""The shared tables as the first revision of each silo creates them: frozen SQL, never edited after a release."""

SHARED_TABLES: tuple[str, ...] = (
    """
    CREATE TABLE silo_identity (
        name text NOT NULL CONSTRAINT silo_identity_pkey PRIMARY KEY,
        number integer NOT NULL CONSTRAINT silo_identity_number_check CHECK (number BETWEEN 0 AND 4095),
        epoch uuid NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX silo_identity_one_row ON silo_identity ((true))",
    """
    CREATE TABLE request_record (
        principal text NOT NULL,
        request_id uuid NOT NULL,
        method text NOT NULL,
        fingerprint bytea NOT NULL,
        state text NOT NULL CONSTRAINT request_record_state_check CHECK (state IN ('RUNNING', 'SUCCEEDED', 'FAILED')),
        answer jsonb,
        resource text,
        error jsonb,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT request_record_pkey PRIMARY KEY (principal, request_id)
    )
    """,
    "CREATE INDEX request_record_created_at_idx ON request_record (created_at) WHERE state <> 'RUNNING'",
    """
    CREATE TABLE outbox_message (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_message_pkey PRIMARY KEY,
        target text NOT NULL,
        aggregate text NOT NULL,
        sequence bigint NOT NULL CONSTRAINT outbox_message_sequence_check CHECK (sequence > 0),
        category text NOT NULL,
        subject text NOT NULL,
        payload jsonb,
        attempts integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        last_error text,
        parked_at timestamptz,
        CONSTRAINT outbox_message_sequence_key UNIQUE (target, aggregate, sequence)
    )
    """,
    "CREATE INDEX outbox_message_target_idx ON outbox_message (target, id)",
    """
    CREATE TABLE outbox_shard (
        target text NOT NULL,
        aggregate text NOT NULL,
        last_sequence bigint NOT NULL,
        CONSTRAINT outbox_shard_pkey PRIMARY KEY (target, aggregate)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE outbox_lease (
        target text NOT NULL,
        aggregate text NOT NULL,
        token uuid,
        lease_until timestamptz,
        available_at timestamptz NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        seen_sequence bigint NOT NULL DEFAULT 0,
        CONSTRAINT outbox_lease_pkey PRIMARY KEY (target, aggregate),
        CONSTRAINT outbox_lease_token_check CHECK ((token IS NULL) = (lease_until IS NULL))
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE inbox_origin (
        origin text NOT NULL CONSTRAINT inbox_origin_pkey PRIMARY KEY,
        epoch uuid NOT NULL,
        agreed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE inbox_shard (
        origin text NOT NULL,
        aggregate text NOT NULL,
        epoch uuid NOT NULL,
        last_sequence bigint NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT inbox_shard_pkey PRIMARY KEY (origin, aggregate)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE inbox_subject (
        origin text NOT NULL,
        category text NOT NULL,
        subject text NOT NULL,
        version bigint NOT NULL,
        deleted boolean NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT inbox_subject_pkey PRIMARY KEY (origin, category, subject)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX inbox_subject_deleted_idx ON inbox_subject (updated_at) WHERE deleted",
    """
    CREATE TABLE snowflake_mark (
        layout smallint NOT NULL,
        number smallint NOT NULL,
        leased_from bigint NOT NULL CONSTRAINT snowflake_mark_leased_from_check CHECK (leased_from >= 0),
        next_position bigint NOT NULL CONSTRAINT snowflake_mark_next_position_check CHECK (next_position > leased_from),
        updated_at timestamptz NOT NULL,
        CONSTRAINT snowflake_mark_pkey PRIMARY KEY (layout, number)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE model_cache_gate (
        id smallint NOT NULL CONSTRAINT model_cache_gate_one_row CHECK (id = 1),
        generation bigint NOT NULL,
        closed_until timestamptz NOT NULL,
        CONSTRAINT model_cache_gate_pkey PRIMARY KEY (id)
    )
    """,
)
