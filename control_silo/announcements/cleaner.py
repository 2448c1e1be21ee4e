"""How long announcements are kept for integrations to pick up."""

from datetime import timedelta

from control_silo.announcements import store
from shared.cleaner import Task

RETENTION = timedelta(days=90)
"""An integration that was away longer has missed something."""


def announcement_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's task: announcements by when they came."""
    return (Task("announcements", retention, store.clean, store.oldest),)
