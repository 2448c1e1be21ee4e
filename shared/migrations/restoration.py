"""What every silo keeps about having been restored from a backup. Frozen SQL, never edited after a release."""

RESTORATION_COLUMNS: tuple[str, ...] = (
    # place: which server and database these rows were in when a program last opened them. restored_at: the silo is
    # closed since then, until doctor has brought it in step.
    "ALTER TABLE silo_identity ADD COLUMN place text, ADD COLUMN restored_at timestamptz",
    # Sequences were agreed on anew: a shard that was not heard of since starts where its sender is.
    "ALTER TABLE inbox_origin ADD COLUMN resumed_at timestamptz",
)

RESTORATION_COLUMNS_UNDONE: tuple[str, ...] = (
    "ALTER TABLE inbox_origin DROP COLUMN resumed_at",
    "ALTER TABLE silo_identity DROP COLUMN restored_at, DROP COLUMN place",
)
