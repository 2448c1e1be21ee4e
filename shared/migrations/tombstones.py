"""Where a silo remembers the LATEST subjects that it has deleted and still has to tell of. Frozen SQL, never edited after
a release.
"""

TOMBSTONE_TABLES: tuple[str, ...] = (
    """
    CREATE TABLE outbox_tombstone (
        category text NOT NULL,
        subject text NOT NULL,
        target text NOT NULL,
        aggregate text NOT NULL,
        version bigint NOT NULL,
        deleted_at timestamptz NOT NULL,
        CONSTRAINT outbox_tombstone_pkey PRIMARY KEY (category, subject, target)
    )
    """,
    "CREATE INDEX outbox_tombstone_deleted_at_idx ON outbox_tombstone (deleted_at)",
)

TOMBSTONE_TABLES_UNDONE: tuple[str, ...] = ("DROP TABLE outbox_tombstone",)
