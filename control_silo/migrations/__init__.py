"""The control silo's schema, revision by revision, as raw SQL."""
