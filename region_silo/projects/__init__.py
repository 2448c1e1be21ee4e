"""Projects of an organization: making, reading, and the look-up by id or slug."""
