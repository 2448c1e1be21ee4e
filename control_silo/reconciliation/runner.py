"""The loop in `work` that compares one region after another, each when it is due, and repairs what it may.

A lease in the database lets one process at a time compare a region. A region that does not answer is given back at once
and tried again later; it holds up no other.
"""

import threading
from datetime import timedelta

import structlog

from control_silo.reconciliation import leases, metrics, repairs, store
from control_silo.reconciliation.comparison import Comparison, Finding, RegionRows
from control_silo.reconciliation.domain import ReconciliationSettings
from shared.cleaner import Task
from shared.comparing.domain import Kind
from shared.database import Database, Transaction
from shared.errors import ServiceError

RETENTION = timedelta(days=30)
"""How long a difference is kept after it was seen equal again."""

_LOOK_S = 2.0
_MEASURE_EVERY_S = 15.0
_FIRST_AFTER_S = 30.0
_AFTER_REPAIR_S = 15.0
_RETRY_S = 30.0

_log = structlog.get_logger("siloway.reconciliation")


class _Stopped(Exception):
    """The process stops."""


class _LeaseLost(Exception):
    """Another process compares the region by now."""


class Reconciler:
    """Compares the regions of the directory. Several processes may run one each."""

    def __init__(self, database: Database, rows: RegionRows, settings: ReconciliationSettings) -> None:
        self._database = database
        self._rows = rows
        self._settings = settings
        self._measured_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Compare what is due until `stop` is set."""
        while not stop.is_set():
            try:
                while not stop.is_set() and self.compare_due(stop) is not None:
                    self._measure_when_due()
                self._measure_when_due()
            except ServiceError as error:
                _log.warning("reconciliation_failed", reason=error.reason)
            stop.wait(_LOOK_S)

    def compare_due(self, stop: threading.Event | None = None) -> str | None:
        """Compare the region that is due for longest; its name, or None when none is due and free."""
        self._database.transact(self._add_regions)
        claimed = self._database.transact(leases.claim)
        if claimed is None:
            return None
        region, token = claimed
        due_in_s, error = self._settings.every_s, ""
        try:
            if self._compare_region(region, token, stop or threading.Event()):
                due_in_s = min(due_in_s, _AFTER_REPAIR_S)
        except _Stopped:
            due_in_s = 0.0
        except _LeaseLost:
            _log.info("reconciliation_lease_lost", region=region)
            return region
        except ServiceError as refused:
            error = refused.reason
            due_in_s = self._retry_in_s(region)
            metrics.FAILED.labels(region, error).inc()
            _log.warning("region_not_compared", region=region, reason=error)
        except Exception:  # noqa: BLE001 - the loop must live; the region is compared again later
            error = "INTERNAL"
            metrics.FAILED.labels(region, error).inc()
            _log.exception("region_not_compared", region=region)
        due_at = self._database.clock.now() + timedelta(seconds=due_in_s)
        self._database.transact(lambda t: leases.release(t, region, token, due_at=due_at, last_error=error))
        return region

    def measure(self) -> None:
        """Tell Prometheus of all regions, whichever process has compared them."""
        for known in self._database.read(store.list_states):
            labels = (known.region, known.kind.value)
            equal_up_to = known.equal_up_to
            metrics.EQUAL_UP_TO_S.labels(*labels).set(0 if equal_up_to is None else equal_up_to.timestamp())
            metrics.DIFFERENCES.labels(*labels).set(known.differences)
            metrics.PENDING.labels(*labels).set(known.pending)
            metrics.DURATION_S.labels(*labels).set(known.duration_ms / 1000)

    def _add_regions(self, transaction: Transaction) -> None:
        first_s = min(_FIRST_AFTER_S, self._settings.every_s)
        leases.add_missing(transaction, transaction.now + timedelta(seconds=first_s))

    def _compare_region(self, region: str, token: str, stop: threading.Event) -> bool:
        """Compare all kinds and repair; whether a repair was sent. The directory goes first, tokens before the rest."""
        comparison = Comparison(
            self._database,
            self._rows,
            region,
            keep=lambda kind, position: self._keep(region, token, kind, position, stop),
            wait=lambda seconds: _wait(stop, seconds),
            pause_s=self._settings.pause_s,
            range_rows=self._settings.range_rows,
        )
        repaired = False
        for kind in (Kind.REGION, Kind.TOKEN, Kind.ORGANIZATION, Kind.SLUG):
            _tell(region, comparison.compare(kind))
            sent = repairs.repair(self._database, self._rows, region, kind, self._settings.repair)
            if sent:
                repaired = True
                metrics.REPAIRS.labels(region, kind.value).inc(len(sent))
                _log.warning("differences_repaired", region=region, kind=kind.value, count=len(sent))
            self._keep(region, token, kind, 0, stop)
        return repaired

    def _keep(self, region: str, token: str, kind: Kind, position: int, stop: threading.Event) -> None:
        if stop.is_set():
            raise _Stopped

        def work(transaction: Transaction) -> bool:
            store.advance(transaction, region, kind, position)
            return leases.renew(transaction, region, token)

        if not self._database.transact(work):
            raise _LeaseLost

    def _retry_in_s(self, region: str) -> float:
        failures = self._database.read(lambda transaction: leases.failures(transaction, region))
        return float(min(self._settings.every_s, _RETRY_S * 2 ** min(failures, 10)))

    def _measure_when_due(self) -> None:
        now_s = self._database.clock.monotonic()
        if self._measured_at is None or now_s - self._measured_at >= _MEASURE_EVERY_S:
            self.measure()
            self._measured_at = now_s


def reconciliation_tasks(retention: timedelta = RETENTION) -> tuple[Task, ...]:
    """The cleaner's task: differences that were seen equal again."""
    return (Task("differences", retention, store.clean, store.oldest),)


def _wait(stop: threading.Event, seconds: float) -> None:
    if stop.wait(seconds):
        raise _Stopped


def _tell(region: str, finding: Finding) -> None:
    if finding.different or finding.resolved:
        _log.warning(
            "region_differs" if finding.different else "region_equal_again",
            region=region,
            kind=finding.kind.value,
            different=finding.different,
            pending=finding.pending,
            resolved=finding.resolved,
        )
