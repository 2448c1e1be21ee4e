"""Runs imports in `work`: takes one by its lease, writes its file, has its organizations named, finishes it.

A peer or a store that cannot be reached never fails an import: the lease goes back and the import waits. So it does
while control lets its region have no new organizations, and, for an hour, for a file that this machine cannot open:
another machine may have it. What control refuses for good fails it at once; anything unexpected is tried a few times.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import Counter

from region_silo.imports import finding_store, organization_store, store
from region_silo.imports.domain import (
    DataImport,
    Effect,
    Event,
    SlugWish,
    State,
    back_off_s,
    change,
    import_name,
)
from region_silo.imports.opening import Check, Opening, OpeningLimits
from region_silo.imports.peers import ControlPeer, Ids
from region_silo.imports.planner import Planner
from region_silo.imports.resting import RestedError, request_key, rest_if_wanted
from region_silo.imports.sharing import ShareSettings, Turn, TurnOverError
from region_silo.imports.store import Lease, LeaseLostError
from region_silo.imports.undoer import UndoCaches, Undoer, UndoLimits
from region_silo.imports.writer import AFTER_SLUGS, BatchLimits, FileWriter, StoppedError
from region_silo.members.retelling import Retelling
from shared import barrier, errors, requests
from shared.database import Database, Transaction
from shared.errors import (
    Code,
    PlanExpired,
    RegionDraining,
    ServiceError,
    SiloHoldsOrganizations,
    SpoolMissing,
    UndoTooLate,
)
from shared.importing import planning
from shared.importing.decisions import BatchFinding
from shared.importing.drift import DriftedError
from shared.importing.spool import Spool
from shared.importing.upload import UploadedFile
from shared.requests import StoredError
from shared.rounds import go_round

ENDED = Counter("siloway_imports_ended_total", "Imports that ended or rest, by state.", ["outcome"])
POSTPONED = Counter("siloway_imports_postponed_total", "Leases given back before the end, by reason.", ["reason"])

_log = structlog.get_logger("siloway.imports")

_TRANSIENT = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED})
_FINAL = frozenset({Code.PERMISSION_DENIED, Code.UNAUTHENTICATED})
_WAITED_FOR = frozenset({"PEER_REFUSED", "METHOD_UNKNOWN"})
# The first one may be cut short by what was told before.
_SLUG_WAITS = 2


@dataclass(frozen=True)
class RunnerSettings:
    """How often and how long."""

    limits: BatchLimits = field(default_factory=BatchLimits)
    share: ShareSettings = field(default_factory=ShareSettings)
    opening: OpeningLimits = field(default_factory=OpeningLimits)
    undoing: UndoLimits = field(default_factory=UndoLimits)
    poll_s: float = 1.0
    slug_poll_s: float = 0.2
    ask_again_s: float = 10.0
    slugs_a_call: int = 5000
    attempts_max: int = 5
    spool_retry_s: float = 5.0
    spool_wait_s: float = 3600.0
    plan_keep_s: int = 3600


class ImportRunner:
    """Works on one import at a time; any number of processes may run one each."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        control: ControlPeer,
        ids: Ids,
        settings: RunnerSettings | None = None,
        *,
        caches: UndoCaches | None = None,
    ) -> None:
        self._database = database
        self._spool = spool
        self._control = control
        self._ids = ids
        self._settings = settings or RunnerSettings()
        self._caches = caches or UndoCaches()
        self._planner = Planner(database, control, self._settings.plan_keep_s, self._settings.limits.lease_s)
        self._retelling = Retelling(database, members_max=self._settings.opening.rows_max)
        self._stop = threading.Event()
        self._wait: Callable[[float], object] = lambda _: None
        self._waits_for_slugs = False
        self._followed: tuple[int, int] | None = None

    def run(self, stop: threading.Event, wait: Callable[[float], object] | None = None) -> None:
        """Work until `stop` is set; the batch at hand is finished. `wait` may return early when there is work."""
        self._stop = stop
        self._wait = wait or stop.wait
        go_round("imports", stop, self.run_once, self._idle_s, wait)

    def run_once(self) -> bool:
        """Take one import as far as it goes now; False when none is there to be worked on."""
        limits = self._settings.limits
        taken = self._database.transact(lambda transaction: store.lease_next(transaction, limits.lease_s))
        if taken is None:
            return False
        lease, data_import = taken
        barrier.reach("import.leased")
        with structlog.contextvars.bound_contextvars(data_import=data_import.name), self._mishaps(lease, data_import):
            self._rest_if_wanted(lease, data_import, data_import.state)
            if data_import.state is State.PLANNING:
                self._plan(lease, data_import)
                return True
            if data_import.state is State.UNDOING:
                self._undo(lease, data_import)
                return True
            if data_import.state is State.WRITING:
                self._write(lease, data_import)
            if data_import.state is State.FINISHING or self._reserve(lease, data_import):
                barrier.reach("import.before_finish")
                self._finish(lease, data_import)
        # Another process may do it as well, or its rest when this one dies.
        while not self._stop.is_set() and self._retelling.run_once(data_import.id):
            barrier.reach("import.between_tellings")
        return True

    def _rest_if_wanted(self, lease: Lease, data_import: DataImport, state: State) -> None:
        """Where no batch is at hand, what was asked for takes effect now. Raises RestedError."""

        def work(transaction: Transaction) -> RestedError | None:
            wanted = store.renew(transaction, lease, self._settings.limits.lease_s)
            return rest_if_wanted(transaction, lease, data_import, state, wanted)

        if data_import.wanted is not None and (rested := self._database.transact(work)) is not None:
            raise rested

    def _plan(self, lease: Lease, plan: DataImport) -> None:
        self._write_file(lease, plan)
        barrier.reach("import.before_planned")
        self._planner.finish(lease, plan)
        ENDED.labels(State.PLANNED.name).inc()
        _log.info("import_planned", objects=plan.object_count)

    def _undo(self, lease: Lease, data_import: DataImport) -> None:
        effects = Undoer(
            self._database,
            self._control,
            self._settings.undoing,
            self._caches,
            lease=lease,
            data_import=data_import,
            turn=Turn(self._database, self._settings.share, data_import.principal),
            stopping=self._stop.is_set,
        ).run()
        ENDED.labels(State.UNDONE.name).inc()
        _log.info("import_undone")
        if Effect.REMOVE_FILE in effects:
            self._spool.remove(data_import.file_id)

    def _idle_s(self) -> float:
        return self._settings.slug_poll_s if self._waits_for_slugs else self._settings.poll_s

    def _write(self, lease: Lease, data_import: DataImport) -> None:
        self._followed = None
        if data_import.plan_id is not None and _rows_left(data_import):
            self._planner.begin_application(lease, data_import)
        self._write_file(lease, data_import)
        barrier.reach("import.rows_written")
        state, _ = change(State.WRITING, Event.ROWS_WRITTEN)
        self._database.transact(lambda transaction: store.set_state(transaction, lease, state))
        _log.info("import_rows_written", objects=data_import.object_count)

    def _write_file(self, lease: Lease, data_import: DataImport, *, after_slugs: bool = False) -> None:
        with UploadedFile(self._spool, data_import.file_id, data_import.size_bytes) as file:
            FileWriter(
                self._database,
                self._control,
                self._ids,
                self._settings.limits,
                lease=lease,
                data_import=data_import,
                file=file,
                turn=Turn(self._database, self._settings.share, data_import.principal),
                stopping=self._stop.is_set,
                follow=partial(self._follow, self._opening(lease, data_import), data_import),
            ).write_all(after_slugs=after_slugs)

    def _reserve(self, lease: Lease, data_import: DataImport) -> bool:
        """Ask for slugs when it is time to; whether all are there. If not, the lease goes back."""
        self._waits_for_slugs = not self._have_slugs(lease, data_import)
        if self._waits_for_slugs:
            self._give_back(lease, self._settings.slug_poll_s)
            return False
        state, _ = change(State.RESERVING, Event.SLUGS_APPLIED)

        def work(transaction: Transaction) -> None:
            transaction.commit_without_waiting()  # what finds its slugs there a second time comes here again
            store.set_state(transaction, lease, state)

        self._database.transact(work)
        return True

    def _have_slugs(self, lease: Lease, data_import: DataImport) -> bool:
        """Slugs of few organizations come within milliseconds, and whoever applies them tells: what is awaited here for
        a moment need not be leased again. Members follow their users meanwhile.
        """
        if not self._lacks_slugs(data_import.id):
            return True
        if not self._time_to_ask(data_import):
            return False
        barrier.reach("import.before_reserve")
        self._ask(lease, data_import)
        barrier.reach("import.after_reserve")
        self._follow(self._opening(lease, data_import), data_import)
        for _ in range(_SLUG_WAITS):
            if not self._lacks_slugs(data_import.id):
                return True
            self._wait(self._settings.slug_poll_s)
        return not self._lacks_slugs(data_import.id)

    def _lacks_slugs(self, import_id: int) -> bool:
        return self._database.ask(lambda transaction: organization_store.any_without_slug(transaction, import_id))

    def _time_to_ask(self, data_import: DataImport) -> bool:
        again = timedelta(seconds=self._settings.ask_again_s)
        return data_import.asked_at is None or data_import.asked_at + again <= self._database.clock.now()

    def _ask(self, lease: Lease, data_import: DataImport) -> None:
        after_id, asked_max = 0, self._settings.slugs_a_call

        def following(transaction: Transaction) -> list[SlugWish]:
            return organization_store.without_slug(transaction, data_import.id, after_id, asked_max)

        plan = "" if data_import.plan_id is None else import_name(data_import.plan_id)
        while wishes := self._database.read(following):
            self._database.transact(lambda transaction: store.renew(transaction, lease, self._settings.limits.lease_s))
            self._control.reserve_slugs(data_import.name, wishes, plan=plan)
            after_id = wishes[-1].organization_id
            if len(wishes) < asked_max:
                break

        def work(transaction: Transaction) -> None:
            transaction.commit_without_waiting()  # control is asked again when this is lost
            store.set_asked(transaction, lease)

        self._database.transact(work)

    def _opening(self, lease: Lease, data_import: DataImport) -> Opening:
        return Opening(self._database, lease, data_import, self._settings.opening, self._caches.organizations)

    def _follow(self, opening: Opening, data_import: DataImport, check: Check = lambda: None) -> None:
        """Once when all members are written: who has followed goes on to. Another process does it again."""
        written = (data_import.id, data_import.tries)
        if self._followed != written:
            opening.follow(check)
            self._followed = written

    def _finish(self, lease: Lease, data_import: DataImport) -> None:
        if any(each.model in AFTER_SLUGS for each in data_import.models):
            self._write_file(lease, data_import, after_slugs=True)
        state, effects = change(State.FINISHING, Event.FINISHED)
        opening = self._opening(lease, data_import)
        self._follow(opening, data_import)
        opened = opening.run()
        barrier.reach("import.finished")
        ENDED.labels(state.name).inc()
        _log.info("import_succeeded", organizations=opened)
        if Effect.SPARE_FILE in effects and self._spool.is_crowded() and not self._failed_rows(data_import.id):
            self._spool.remove(data_import.file_id)

    def _failed_rows(self, import_id: int) -> bool:
        """Whether there is something to try again: the file is kept for that until its retention ends."""
        found = self._database.read(lambda transaction: store.find(transaction, import_id))
        return found is not None and found.error_count > 0

    @contextmanager
    def _mishaps(self, lease: Lease, data_import: DataImport) -> Iterator[None]:
        """Decide what becomes of the import when the work on it is cut short."""
        try:
            yield
        except (LeaseLostError, StoppedError, TurnOverError, RestedError) as cut:
            self._end_stretch(lease, data_import, cut)
        except SpoolMissing as error:
            POSTPONED.labels(error.reason).inc()
            _log.warning("import_file_missing", reason=error.reason)
            if self._waited_for_file(data_import):
                self._give_up(lease, data_import, error)
            else:
                self._give_back(lease, self._settings.spool_retry_s)
        except ServiceError as error:
            if _will_pass(error):
                self._postpone(lease, data_import, error)
            elif error.code in _FINAL or isinstance(error, SiloHoldsOrganizations | PlanExpired | UndoTooLate):
                self._give_up(lease, data_import, error)
            else:
                self._retry_or_give_up(lease, data_import, error)
        except DriftedError as drifted:
            self._give_up(lease, data_import, errors.ImportDrifted(), drifted.findings)
        except Exception as error:  # noqa: BLE001 - an import's trouble must not end the process
            self._retry_or_give_up(lease, data_import, error)

    def _end_stretch(self, lease: Lease, data_import: DataImport, cut: Exception) -> None:
        """Nothing went wrong: it is another's turn, or nobody's."""
        if isinstance(cut, LeaseLostError):
            POSTPONED.labels("LEASE_LOST").inc()
            _log.warning("import_lease_lost")
        elif isinstance(cut, RestedError):
            ENDED.labels(cut.state.name).inc()
            _log.info("import_rests", state=cut.state.name)
            if Effect.REMOVE_FILE in cut.effects:
                self._spool.remove(data_import.file_id)
        else:
            self._give_back(lease, 0.0)

    def _waited_for_file(self, data_import: DataImport) -> bool:
        """Whether some process had its time to come that can open the file."""
        begun = data_import.went_on_at or self._database.clock.now()
        return begun + timedelta(seconds=self._settings.spool_wait_s) <= self._database.clock.now()

    def _postpone(self, lease: Lease, data_import: DataImport, error: ServiceError) -> None:
        failures = data_import.peer_failures + 1
        POSTPONED.labels(error.reason).inc()
        _log.warning("import_waits", reason=error.reason, failures=failures)
        self._give_back(lease, error.retry_after_s or 0.0, peer_failures=failures)

    def _retry_or_give_up(self, lease: Lease, data_import: DataImport, error: Exception) -> None:
        attempt = data_import.attempts + 1
        _log.error("import_attempt_failed", attempt=attempt, exc_info=error)
        if attempt < self._settings.attempts_max:
            self._give_back(lease, back_off_s(attempt), attempts=1)
            return
        told = error if isinstance(error, ServiceError) else errors.Internal("the import failed for an internal reason")
        self._give_up(lease, data_import, told)

    def _give_up(
        self, lease: Lease, data_import: DataImport, error: ServiceError, findings: Sequence[BatchFinding] = ()
    ) -> None:
        stored = StoredError.of(error)

        def work(transaction: Transaction) -> None:
            found = store.find(transaction, data_import.id)
            if findings:
                finding_store.copy_findings(transaction, data_import.id, findings)
                told, lease_s = len(findings), self._settings.limits.lease_s
                store.add_progress(transaction, lease, lease_s, done=0, findings=told, error_count=told)
            planning.drop(transaction, data_import.id)
            state, effects = change(data_import.state if found is None else found.state, Event.GAVE_UP)
            store.end(transaction, lease, state, stored)
            if Effect.CLOSE_REQUEST in effects:
                requests.finish(transaction, request_key(data_import), error=stored)

        self._settle(work)
        ENDED.labels(State.FAILED.name).inc()
        _log.error("import_given_up", reason=error.reason)

    def _give_back(self, lease: Lease, wait_s: float, *, attempts: int = 0, peer_failures: int | None = None) -> None:
        back_off = 0.0 if peer_failures is None else back_off_s(peer_failures)

        def work(transaction: Transaction) -> None:
            available_at = transaction.now + timedelta(seconds=max(wait_s, back_off))
            store.give_back(transaction, lease, available_at, attempts=attempts, peer_failures=peer_failures)

        self._settle(work)

    def _settle(self, work: Callable[[Transaction], None]) -> None:
        """Record how the work was cut short; when that fails too, the lease runs out by itself."""
        try:
            self._database.transact(work)
        except (LeaseLostError, ServiceError) as error:
            _log.warning("import_lease_left_to_run_out", error=type(error).__name__)


def _rows_left(data_import: DataImport) -> bool:
    """Whether its organizations have asked for no slugs yet: before that all rows are written but for the last ones."""
    return data_import.done_count < sum(each.rows for each in data_import.models if each.model not in AFTER_SLUGS)


def _will_pass(error: ServiceError) -> bool:
    """Whether waiting helps: operators upgrade control, and end that a region is drained or was declared lost."""
    is_waited_for = error.metadata.get("peer_reason") in _WAITED_FOR
    return error.code in _TRANSIENT or isinstance(error, RegionDraining) or is_waited_for
