"""What operators need in every silo: parked messages and the audit's entries. Frozen SQL, never edited after a
release.
"""

OPERATOR_TABLES: tuple[str, ...] = (
    # A message with a skip reason is delivered as a typed skip: its place in the shard is used up without an effect.
    "ALTER TABLE outbox_message ADD COLUMN skip_reason text",
    # A parked shard is not claimed until an operator replays it or skips the message that it waits for.
    "ALTER TABLE outbox_lease ADD COLUMN parked_at timestamptz",
    # LATEST subjects whose messages were given up; the place of each was, or is being, skipped in its shard.
    """
    CREATE TABLE outbox_parked (
        target text NOT NULL,
        aggregate text NOT NULL,
        category text NOT NULL,
        subject text NOT NULL,
        sequence bigint NOT NULL,
        refusals integer NOT NULL,
        last_error text NOT NULL,
        created_at timestamptz NOT NULL,
        parked_at timestamptz NOT NULL,
        CONSTRAINT outbox_parked_pkey PRIMARY KEY (target, aggregate, category, subject)
    )
    """,
    """
    CREATE TABLE audit_entry (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_entry_pkey PRIMARY KEY,
        at timestamptz NOT NULL,
        principal text NOT NULL,
        action text NOT NULL,
        organization_id bigint,
        target text NOT NULL,
        request_id text NOT NULL,
        detail jsonb NOT NULL
    )
    """,
    "CREATE INDEX audit_entry_at_idx ON audit_entry (at)",
    "CREATE INDEX audit_entry_organization_idx ON audit_entry (organization_id, id)",
    "CREATE INDEX audit_entry_principal_idx ON audit_entry (principal, id)",
)

OPERATOR_TABLES_UNDONE: tuple[str, ...] = (
    "DROP TABLE audit_entry, outbox_parked",
    "ALTER TABLE outbox_lease DROP COLUMN parked_at",
    "ALTER TABLE outbox_message DROP COLUMN skip_reason",
)
