"""Control's end of the conversation with regions: its internal door, its outbox's transport and categories."""
