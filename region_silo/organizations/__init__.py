"""Organizations as their region owns them: reading, and the look-up by id or slug that every feature uses."""
