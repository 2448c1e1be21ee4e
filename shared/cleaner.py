"""Keeps every growing table to its retention: small batches, one after the other, with a metric of the oldest row.

`work` runs one loop a process. A task that fails is logged and tried again in the next round; it never stops the
others. Several processes may run the same tasks: they skip each other's rows.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge

from shared.database import Database, Transaction
from shared.errors import ServiceError

DELETED = Counter("siloway_cleaner_deleted_total", "Rows deleted at the end of their retention.", ["task"])
OLDEST_S = Gauge("siloway_cleaner_oldest_age_seconds", "Age of the oldest row that a cleaner watches.", ["task"])

_log = structlog.get_logger("siloway.cleaner")

_ROWS_MAX = 1000


@dataclass(frozen=True)
class Task:
    """One table's retention. `clean(transaction, older_than, rows_max)` returns the rows that it deleted."""

    name: str
    retention: timedelta
    clean: Callable[[Transaction, datetime, int], int]
    oldest: Callable[[Transaction], datetime | None]


class Cleaner:
    """Runs the tasks every `interval_s`, and again at once while a batch was full."""

    def __init__(self, database: Database, tasks: Sequence[Task], *, interval_s: float = 60.0) -> None:
        assert len({task.name for task in tasks}) == len(tasks), "two cleaner tasks share a name"
        self._database = database
        self._tasks = tuple(tasks)
        self._interval_s = interval_s

    def run(self, stop: threading.Event) -> None:
        """Clean until `stop` is set; ends after the batch at hand."""
        while not stop.is_set():
            self.clean_once(stop)
            stop.wait(self._interval_s)

    def clean_once(self, stop: threading.Event | None = None) -> dict[str, int]:
        """Empty every task's backlog; returns the deleted rows by task's name."""
        deleted: dict[str, int] = {}
        for task in self._tasks:
            try:
                deleted[task.name] = self._clean_task(task, stop or threading.Event())
            except ServiceError as error:
                _log.warning("cleaning_waits", task=task.name, reason=error.reason)
            except Exception:  # noqa: BLE001 - one table's trouble must not let the others grow
                _log.exception("cleaning_failed", task=task.name)
        return deleted

    def _clean_task(self, task: Task, stop: threading.Event) -> int:
        older_than = self._database.clock.now() - task.retention
        total = 0
        while not stop.is_set():
            batch = self._database.transact(lambda transaction: task.clean(transaction, older_than, _ROWS_MAX))
            total += batch
            DELETED.labels(task.name).inc(batch)
            if batch < _ROWS_MAX:
                break
        oldest = self._database.read(task.oldest)
        age_s = 0.0 if oldest is None else (self._database.clock.now() - oldest).total_seconds()
        OLDEST_S.labels(task.name).set(age_s)
        return total
