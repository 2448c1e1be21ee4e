"""What every silo's `work` does besides its own loops: it drains the outbox and cleans what is old.

Nothing here serves calls: `work` loads none of the machinery of the doors.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta

from shared import program
from shared.audit import store as audit_store
from shared.cleaner import Cleaner, Task
from shared.database import Database
from shared.outbox import cleaner as inbox_cleaner
from shared.outbox import tombstones
from shared.outbox.domain import CHANNEL
from shared.outbox.drainer import Drainer, Transport
from shared.outbox.registry import Registry
from shared.outbox.settings import DrainerSettings
from shared.parts import Parts
from shared.requests import cleaner as request_cleaner
from shared.rpc.admin import AdminServer
from shared.wake import Listener

REQUEST_RETENTION = timedelta(days=30)
INBOX_RETENTION = timedelta(days=30)
TOMBSTONE_RETENTION = timedelta(days=1)
"""Of deletions that were acknowledged; the others are kept until then."""

_WORK_POOL_SIZE = 8


def work(
    parts: Parts,
    *,
    registry: Registry,
    transport: Transport,
    loops: Mapping[str, program.Loop],
    cleaning: Sequence[Task] = (),
) -> int:
    """Drain the outbox, clean, and run the silo's own loops until told to stop, once the silo is open.

    Returns the exit code.
    """
    database = Database.open(
        parts.settings.database_url,
        clock=parts.clock,
        pool_size=_WORK_POOL_SIZE,
        application_name=f"siloway {parts.settings.name} outbox",
    )
    drainer = Drainer(
        database,
        registry,
        transport,
        clock=parts.clock,
        origin=parts.identity.name,
        epoch=parts.identity.epoch,
        settings=DrainerSettings(refusals_max=parts.settings.outbox_refusals_max),
    )
    tasks = (
        Task("requests", REQUEST_RETENTION, request_cleaner.clean, request_cleaner.oldest),
        Task("inbox_subjects", INBOX_RETENTION, inbox_cleaner.clean, inbox_cleaner.oldest),
        Task("tombstones", TOMBSTONE_RETENTION, tombstones.clean, tombstones.oldest),
        Task("audit", timedelta(days=parts.settings.audit_retention_days), audit_store.clean, audit_store.oldest),
        *cleaning,
    )
    all_loops = {
        **loops,
        "outbox": _drain_loop(drainer, parts.settings.database_url),
        "cleaner": Cleaner(parts.database, tasks).run,
    }
    admin = AdminServer(parts.settings.doors.work_admin_address, checks={"database": parts.database_answers})
    try:
        opened = {name: parts.restoration.open_loop(loop) for name, loop in all_loops.items()}
        return program.work(opened, admin, program.stop_on_signals(), parts.settings.grace_s)
    finally:
        database.close()
        parts.close()


def _drain_loop(drainer: Drainer, database_url: str) -> program.Loop:
    def run(stop: threading.Event) -> None:
        listener = Listener(database_url, [CHANNEL])
        try:
            drainer.run(stop, listener.wait)
        finally:
            listener.close()

    return run
