"""Waiting for what other sessions of a database do, without guessing how long it takes."""

import threading

from sqlalchemy import text

from shared.database import Database

_BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")

GIVES_UP_S = 3.0
"""Of a call that waits for a lock in vain: a quarter is left for its answer."""


def wait_for_a_blocked_session(database: Database) -> None:
    """Return once a session of the database waits for a lock."""
    pause = threading.Event()
    for _ in range(3000):
        if database.read(lambda transaction: transaction.execute(_BLOCKED).scalar_one()):
            return
        pause.wait(0.01)
    raise AssertionError("nobody waits for a lock")
