"""The region's end of the conversation with control: its internal door, its outbox's transport and categories."""
