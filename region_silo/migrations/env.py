"""Alembic's entry; shared.migrations runs it inside its own transaction."""

from shared.migrations.environment import upgrade_in_callers_transaction

upgrade_in_callers_transaction()
