"""What each silo's alembic env.py runs: all missing revisions on the connection that migrate() opened, in its transaction."""

from alembic import context


def upgrade_in_callers_transaction() -> None:
    """Run the revisions; the caller holds the lock, commits, and writes the identity beside them."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True)
    context.run_migrations()
