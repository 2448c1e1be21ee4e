"""The loop in `work` that announces what nobody announced when its reason to wait ended.

Each release is a transaction of its own on its held row; one that others hold is left to them, or to the next round.
So any number of processes may sweep, and whatever they do twice finds the mark of the first.
"""

import threading

import structlog
from prometheus_client import Counter

from region_silo.deploys import announcing_store as store
from region_silo.deploys.announcing import announce_pending
from shared.database import Database, Transaction
from shared.errors import ServiceError

EVERY_S = 60.0
_PAGE = 100

SWEPT = Counter("siloway_deploys_swept_total", "Deploys that only the sweep announced.")

_log = structlog.get_logger("siloway.deploys")


class Sweep:
    """Announces what is due. Any number of processes may run one each."""

    def __init__(self, database: Database, *, page: int = _PAGE) -> None:
        self._database = database
        self._page = page

    def run(self, stop: threading.Event) -> None:
        """Sweep every minute until `stop` is set; the release at hand is finished."""
        while not stop.is_set():
            try:
                self.run_once(stop)
            except ServiceError as error:
                _log.warning("deploys_wait", reason=error.reason)
            stop.wait(EVERY_S)

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Announce all that is due and free; returns how many deploys."""
        stop = stop or threading.Event()
        announced = after_id = 0
        while page := self._find(after_id):
            for release_id, organization_id in page:
                if stop.is_set():
                    return announced
                announced += self._try(release_id, organization_id)
            after_id = page[-1][0]
        return announced

    def _find(self, after_id: int) -> list[tuple[int, int]]:
        return self._database.read(lambda transaction: store.find_due(transaction, after_id, self._page))

    def _try(self, release_id: int, organization_id: int) -> int:
        """One release's trouble must not keep the others."""

        def work(transaction: Transaction) -> int:
            if not store.hold_free(transaction, release_id):
                return 0
            return announce_pending(transaction, organization_id, release_id)

        announced = 0
        try:
            while told := self._database.transact(work):
                announced += told
        except ServiceError as error:
            _log.warning("deploys_wait", release=release_id, reason=error.reason)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("deploys_not_announced", release=release_id)
        if announced:
            SWEPT.inc(announced)
            _log.info("deploys_swept", release=release_id, count=announced)
        return announced
