"""The loop in `work` that purges organizations: all their rows in batches of 1,000, a transaction each, then their own.

Nothing but the rows themselves says how far it has come, so a kill costs one batch at most. Each batch holds the
organization, so several processes take turns. The last transaction makes sure that no row is left in any table; a row
that came late is found there, and deleted in another round.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import structlog
from prometheus_client import Counter, Gauge

from region_silo.deletions import store
from region_silo.deletions.usecases import tell_gone
from shared import audit, barrier
from shared.database import Database, Transaction
from shared.deletion import DeletionStage
from shared.errors import ServiceError
from shared.names import organization_name

ROWS_MAX = 1000
_PAGE = 100
_LOOK_S = 1.0

ORGANIZATIONS = Gauge("siloway_purge_organizations", "Organizations to be deleted here, by stage.", ["stage"])
OLDEST_S = Gauge(
    "siloway_purge_oldest_overdue_seconds", "Since when the oldest purge time of a stage is over.", ["stage"]
)
DELETED = Counter("siloway_purge_deleted_total", "Rows that purges deleted.", ["table"])
PURGED = Counter("siloway_purge_ended_total", "Organizations of which nothing is left here.")

Changing: TypeAlias = Callable[..., AbstractContextManager[None]]
"""Called with ids: encloses the transaction that deletes these rows, so that caches of them are told."""

_log = structlog.get_logger("siloway.deletions")


class Purger:
    """Purges what is to be purged. Any number of processes may run one each.

    `changing` has the caches by table; rows of other tables are cached by nobody.
    """

    def __init__(
        self, database: Database, changing: Mapping[str, Changing] | None = None, *, rows_max: int = ROWS_MAX
    ) -> None:
        self._database = database
        self._changing = dict(changing or {})
        self._rows_max = rows_max

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; the batch at hand is finished."""
        while not stop.is_set():
            try:
                self.run_once(stop)
            except ServiceError as error:
                _log.warning("purges_wait", reason=error.reason)
            stop.wait(_LOOK_S)

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Purge all that can be; returns of how many nothing is left."""
        stop = stop or threading.Event()
        purged = after_id = 0
        while page := self._page(after_id):
            for organization_id in page:
                if stop.is_set():
                    return purged
                purged += self._try(organization_id, stop)
            after_id = page[-1]
        self._measure()
        return purged

    def _page(self, after_id: int) -> list[int]:
        return self._database.read(lambda transaction: store.find_deleting(transaction, after_id, _PAGE))

    def _try(self, organization_id: int, stop: threading.Event) -> bool:
        """One organization's trouble must not keep the others."""
        try:
            return self._purge(organization_id, stop)
        except ServiceError as error:
            _log.warning("purge_waits", organization=organization_id, reason=error.reason)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("purge_failed", organization=organization_id)
        return False

    def _purge(self, organization_id: int, stop: threading.Event) -> bool:
        tables = self._database.read(store.read_tables)
        for table in tables:
            while self._delete_batch(table, organization_id) == self._rows_max:
                barrier.reach("purge.batch_deleted")
                if stop.is_set():
                    return False
        with self._cached("organization")(organization_id):
            return self._database.transact(lambda transaction: _finish(transaction, organization_id, tables))

    def _delete_batch(self, table: str, organization_id: int) -> int:
        if table not in self._changing:
            return self._delete(
                table,
                organization_id,
                lambda transaction: store.delete_rows(transaction, table, organization_id, self._rows_max),
            )
        ids = self._database.read(
            lambda transaction: store.read_ids(transaction, table, organization_id, self._rows_max)
        )
        with self._cached(table)(*ids):
            return self._delete(
                table, organization_id, lambda transaction: store.delete_ids(transaction, table, organization_id, ids)
            )

    def _delete(self, table: str, organization_id: int, delete: Callable[[Transaction], int]) -> int:
        def work(transaction: Transaction) -> int:
            if store.lock_deleting(transaction, organization_id) is None:
                return 0
            deleted = delete(transaction)
            barrier.reach("purge.in_batch")
            return deleted

        deleted = self._database.transact(work)
        DELETED.labels(table).inc(deleted)
        return deleted

    def _cached(self, table: str) -> Changing:
        return self._changing.get(table, lambda *_ids: nullcontext())

    def _measure(self) -> None:
        now = self._database.clock.now()
        found = self._database.read(store.measure)
        for stage in (DeletionStage.PENDING, DeletionStage.DELETING):
            count, oldest = found.get(stage, (0, now))
            ORGANIZATIONS.labels(stage.name.lower()).set(count)
            OLDEST_S.labels(stage.name.lower()).set(max(0.0, (now - oldest).total_seconds()))


def _finish(transaction: Transaction, organization_id: int, tables: list[str]) -> bool:
    """Delete the organization's own row and tell control, unless rows are left in some table."""
    held = store.lock_deleting(transaction, organization_id)
    if held is None or any(store.has_rows(transaction, table, organization_id) for table in tables):
        return False
    store.forget(transaction, organization_id)
    tell_gone(transaction, organization_id, held.version + 1)
    name = organization_name(organization_id)
    audit.record(
        transaction,
        action="organization.purge",
        target=name,
        organization_id=organization_id,
        detail={"name": held.name, "slug": held.slug},
    )
    transaction.after_commit(PURGED.inc)
    barrier.reach("purge.finished")
    return True
