"""Runs exports in `work`: takes one by its lease, has its file built, and ends it.

A build that is cut short, by whatever, leaves nothing and begins again: an export only reads. What may pass by itself,
control or the database away or the spool full, never fails it; what control refuses for good fails it at once, and
anything unexpected is tried a few times.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from prometheus_client import Counter

from region_silo.exports import store
from region_silo.exports.builder import BuildLimits, FileBuilder, StoppedError
from region_silo.exports.domain import DataExport, State, back_off_s
from region_silo.exports.store import Lease, LeaseLostError
from shared import barrier, errors
from shared.database import Database, Transaction
from shared.errors import Code, ServiceError
from shared.exporting.files import ExportFiles
from shared.exporting.handover import ControlPeer
from shared.requests import StoredError
from shared.rounds import go_round

ENDED = Counter("siloway_exports_ended_total", "Exports that ended, by outcome.", ["outcome"])
POSTPONED = Counter("siloway_exports_postponed_total", "Leases given back before the end, by reason.", ["reason"])

_log = structlog.get_logger("siloway.exports")

_TRANSIENT = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED})
_FINAL = frozenset({Code.PERMISSION_DENIED, Code.UNAUTHENTICATED})


@dataclass(frozen=True)
class RunnerSettings:
    """How often and how long."""

    limits: BuildLimits = field(default_factory=BuildLimits)
    poll_s: float = 1.0
    attempts_max: int = 5


class ExportRunner:
    """Builds one export at a time; any number of processes may run one each."""

    def __init__(
        self, database: Database, control: ControlPeer, files: ExportFiles, settings: RunnerSettings | None = None
    ) -> None:
        self._database = database
        self._control = control
        self._files = files
        self._settings = settings or RunnerSettings()
        self._stop = threading.Event()

    def run(self, stop: threading.Event, wait: Callable[[float], object] | None = None) -> None:
        """Work until `stop` is set. `wait` may return early when there is work."""
        self._stop = stop
        go_round("exports", stop, self.run_once, lambda: self._settings.poll_s, wait)

    def run_once(self) -> bool:
        """Take an export and build it; False when none waits."""
        taken = self._database.transact(
            lambda transaction: store.lease_next(transaction, self._settings.limits.lease_s)
        )
        if taken is None:
            return False
        lease, data_export = taken
        with structlog.contextvars.bound_contextvars(data_export=data_export.name), self._mishaps(lease, data_export):
            self._build(lease, data_export)
        return True

    def _build(self, lease: Lease, data_export: DataExport) -> None:
        builder = FileBuilder(
            self._database,
            self._control,
            self._files,
            self._settings.limits,
            lease=lease,
            data_export=data_export,
            stopping=self._stop.is_set,
        )
        file = builder.build()
        barrier.reach("export.before_end")
        self._database.transact(lambda transaction: store.succeed(transaction, lease, file, builder.models))
        self._files.remove_handed(data_export.id, lease.token)
        ENDED.labels(State.SUCCEEDED.name).inc()
        _log.info("export_succeeded", bytes=file.length)

    @contextmanager
    def _mishaps(self, lease: Lease, data_export: DataExport) -> Iterator[None]:
        """Decide what becomes of the export when its build is cut short; nothing of the build stays."""
        try:
            yield
        except errors.OutcomeUnknown:
            _log.warning("export_outcome_unknown")  # it may have succeeded: the cleaner removes what has not
        except BaseException as error:
            self._files.remove_of(data_export.id, lease.token)
            if not isinstance(error, Exception):
                raise
            self._settle_mishap(lease, data_export, error)

    def _settle_mishap(self, lease: Lease, data_export: DataExport, error: Exception) -> None:
        if isinstance(error, LeaseLostError):
            POSTPONED.labels("LEASE_LOST").inc()
            _log.warning("export_lease_lost")
        elif isinstance(error, StoppedError):
            self._give_back(lease, 0.0)
        elif isinstance(error, ServiceError) and error.code in _TRANSIENT:
            POSTPONED.labels(error.reason).inc()
            _log.warning("export_waits", reason=error.reason)
            wait_s = max(error.retry_after_s or 0.0, back_off_s(data_export.peer_failures + 1))
            self._give_back(lease, wait_s, peer_failures=1)
        elif isinstance(error, errors.ExportTooLarge) or (isinstance(error, ServiceError) and error.code in _FINAL):
            self._give_up(lease, error)
        else:
            attempt = data_export.attempts + 1
            _log.error("export_attempt_failed", attempt=attempt, exc_info=error)
            if attempt < self._settings.attempts_max:
                self._give_back(lease, back_off_s(attempt), attempts=1)
            else:
                internal = errors.Internal("the export failed for an internal reason")
                told = error if isinstance(error, ServiceError) else internal
                self._give_up(lease, told)

    def _give_up(self, lease: Lease, error: ServiceError) -> None:
        stored = StoredError.of(error)
        self._settle(lambda transaction: store.fail(transaction, lease, stored))
        ENDED.labels(State.FAILED.name).inc()
        _log.error("export_given_up", reason=error.reason)

    def _give_back(self, lease: Lease, wait_s: float, *, attempts: int = 0, peer_failures: int = 0) -> None:
        def work(transaction: Transaction) -> None:
            available_at = transaction.now + timedelta(seconds=wait_s)
            store.give_back(transaction, lease, available_at, attempts=attempts, peer_failures=peer_failures)

        self._settle(work)

    def _settle(self, work: Callable[[Transaction], None]) -> None:
        """Record how the work was cut short; when that fails too, the lease runs out by itself."""
        try:
            self._database.transact(work)
        except (LeaseLostError, ServiceError) as error:
            _log.warning("export_lease_left_to_run_out", error=type(error).__name__)
