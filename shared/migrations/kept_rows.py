"""The table in which both silos keep rows of models that they do not act on (shared.importing.kept)."""

# refs: the new pks by the registry's field names; fields: everything else in the modern encoding. key_n: the digest of
# the model's n-th unique set, null when one of its values is.
KEPT_ROW_TABLE: tuple[str, ...] = (
    """
    CREATE TABLE kept_row (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT kept_row_pkey PRIMARY KEY,
        organization_id bigint,
        model text NOT NULL,
        import_id bigint,
        refs jsonb NOT NULL,
        fields jsonb NOT NULL,
        key_1 bytea,
        key_2 bytea,
        key_3 bytea,
        key_4 bytea
    )
    """,
    "CREATE INDEX kept_row_organization_id_idx ON kept_row (organization_id, model, id)",
    "CREATE INDEX kept_row_model_idx ON kept_row (model, id)",
    "CREATE INDEX kept_row_refs_idx ON kept_row USING gin (refs jsonb_path_ops)",
    *(
        f"CREATE UNIQUE INDEX kept_row_key_{number}_key ON kept_row (model, key_{number})"
        f" WHERE key_{number} IS NOT NULL"
        for number in range(1, 5)
    ),
)
KEPT_ROW_TABLE_UNDONE: tuple[str, ...] = ("DROP TABLE kept_row",)
