"""Organizations that control wants deleted: read only first, then purged of all their rows."""
