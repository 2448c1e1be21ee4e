"""What rows were before an import overwrote them, in both silos."""

BEFORE_IMAGE_TABLE: tuple[str, ...] = (
    """
    CREATE TABLE import_before_image (
        import_id bigint NOT NULL,
        model text NOT NULL,
        pk bigint NOT NULL,
        image jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT import_before_image_pkey PRIMARY KEY (import_id, model, pk)
    )
    """,
)
BEFORE_IMAGE_TABLE_UNDONE: tuple[str, ...] = ("DROP TABLE import_before_image",)
