"""The region silo's schema, revision by revision, as raw SQL."""
