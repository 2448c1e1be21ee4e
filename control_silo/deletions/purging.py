"""The loop in `work` that carries deletions on: from PENDING to DELETING, and from GONE to nothing left.

Each step is one transaction on one organization, so a kill costs nothing; several processes pass over what another one
works on. Tokens go in batches; the last transaction takes the slugs and the mapping, and only when no token is left:
whoever makes one keeps the mapping until it is committed.
"""

import threading
from collections.abc import Callable, Iterator

import structlog
from prometheus_client import Counter, Gauge

from control_silo.deletions import store
from control_silo.deletions.domain import Deletions
from control_silo.deletions.usecases import tell_region
from control_silo.organizations import store as organization_store
from control_silo.regions import store as region_store
from control_silo.tokens.usecases import bury_token
from shared import audit, barrier, delivery
from shared.database import Database, Transaction
from shared.deletion import DeletionStage
from shared.errors import ServiceError
from shared.names import organization_name
from shared.outbox import tombstones

ROWS_MAX = 1000
_PAGE = 100
_LOOK_S = 1.0

ORGANIZATIONS = Gauge("siloway_deletions_organizations", "Organizations to be deleted, by stage.", ["stage"])
OLDEST_S = Gauge(
    "siloway_deletions_oldest_overdue_seconds", "Since when the oldest purge time of a stage is over.", ["stage"]
)
PURGED = Counter("siloway_deletions_purged_total", "Organizations of which nothing is left in control.")

_log = structlog.get_logger("siloway.deletions")

_Find = Callable[[Transaction, int, int], list[int]]


class Purger:
    """Carries all deletions of control on. Any number of processes may run one each."""

    def __init__(self, database: Database, settings: Deletions) -> None:
        self._database = database
        self._settings = settings

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            try:
                self.run_once(stop)
            except ServiceError as error:
                _log.warning("deletions_wait", reason=error.reason)
            stop.wait(_LOOK_S)

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Begin every purge that is due, end all whose region has nothing left; returns how many went on."""
        stop = stop or threading.Event()
        begun = sum(self._try(self._begin, each) for each in self._each(store.find_due, stop))
        ended = sum(self._try(self._end, each) for each in self._each(store.find_gone, stop))
        self._measure()
        return begun + ended

    def _each(self, find: _Find, stop: threading.Event) -> Iterator[int]:
        after_id = 0
        while page := self._database.read(lambda transaction, after_id=after_id: find(transaction, after_id, _PAGE)):  # type: ignore[misc]
            for organization_id in page:
                if stop.is_set():
                    return
                yield organization_id
            after_id = page[-1]

    def _try(self, step: Callable[[int], bool], organization_id: int) -> bool:
        """One organization's trouble must not keep the others."""
        try:
            return step(organization_id)
        except ServiceError as error:
            _log.warning("deletion_waits", organization=organization_id, reason=error.reason)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("deletion_failed", organization=organization_id)
        return False

    def _begin(self, organization_id: int) -> bool:
        def work(transaction: Transaction) -> bool:
            if not store.lock_settled(transaction, organization_id, DeletionStage.PENDING):
                return False
            found = organization_store.find_by_id(transaction, organization_id)
            if found is None or found.purge_at is None or found.purge_at > transaction.now:
                return False  # undeleted, and deleted again, a moment ago
            store.set_stage(
                transaction,
                organization_id,
                DeletionStage.DELETING,
                deleted_at=found.deleted_at,
                purge_at=found.purge_at,
            )
            tell_region(transaction, organization_id, found.region)
            _audit(transaction, "organization.purge_begin", organization_id, {"region": found.region})
            barrier.reach("deletion.begun")
            return True

        return self._database.transact(work)

    def _end(self, organization_id: int) -> bool:
        while self._database.transact(lambda transaction: self._delete_kept(transaction, organization_id)):
            barrier.reach("deletion.kept_rows_deleted")
        while self._database.transact(lambda transaction: self._take_tokens(transaction, organization_id)):
            barrier.reach("deletion.tokens_taken")
        return self._database.transact(lambda transaction: self._forget(transaction, organization_id))

    @staticmethod
    def _delete_kept(transaction: Transaction, organization_id: int) -> bool:
        """Whether there may be more."""
        if not store.lock_settled(transaction, organization_id, DeletionStage.GONE):
            return False
        return store.delete_kept(transaction, organization_id, ROWS_MAX) == ROWS_MAX

    @staticmethod
    def _take_tokens(transaction: Transaction, organization_id: int) -> bool:
        """Whether there may be more."""
        if not store.lock_settled(transaction, organization_id, DeletionStage.GONE):
            return False
        return _end_tokens(transaction, organization_id) == ROWS_MAX

    def _forget(self, transaction: Transaction, organization_id: int) -> bool:
        if not store.lock_settled(transaction, organization_id, DeletionStage.GONE):
            return False
        if _end_tokens(transaction, organization_id) == ROWS_MAX:
            return False
        if store.delete_kept(transaction, organization_id, ROWS_MAX) == ROWS_MAX:
            return False
        found = organization_store.find_by_id(transaction, organization_id)
        assert found is not None, "a mapping that is locked is there"
        slugs = store.end_slugs(transaction, organization_id, self._settings.quarantine)
        store.forget(transaction, organization_id)
        tombstones.bury(
            transaction,
            target=found.region,
            aggregate=organization_name(organization_id),
            category=delivery.ORGANIZATION_DELETION,
            subject=str(organization_id),
            version=found.deletion_version + 1,
        )
        detail: dict[str, object] = {"slug": found.slug, "region": found.region, "slugs": slugs}
        _audit(transaction, "organization.purge", organization_id, detail)
        transaction.after_commit(PURGED.inc)
        barrier.reach("deletion.forgotten")
        return True

    def _measure(self) -> None:
        now = self._database.clock.now()
        found = self._database.read(store.measure)
        for stage in (DeletionStage.PENDING, DeletionStage.DELETING, DeletionStage.GONE):
            count, oldest = found.get(stage, (0, now))
            ORGANIZATIONS.labels(stage.name.lower()).set(count)
            OLDEST_S.labels(stage.name.lower()).set(max(0.0, (now - oldest).total_seconds()))


def _end_tokens(transaction: Transaction, organization_id: int) -> int:
    taken = store.take_tokens(transaction, organization_id, ROWS_MAX)
    if taken:
        regions = [region.name for region in region_store.read_all(transaction)]
        for token in taken:
            bury_token(transaction, token.id, token.audience, token.version, regions)
    return len(taken)


def _audit(transaction: Transaction, action: str, organization_id: int, detail: dict[str, object]) -> None:
    name = organization_name(organization_id)
    audit.record(transaction, action=action, target=name, organization_id=organization_id, detail=detail)
