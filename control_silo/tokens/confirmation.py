"""Control's confirmation of the tokens: each region hears, again and again, up to when it was told every change.

A region that hears nothing for too long believes no token any more, so a cut line cannot keep a revoked token alive
for ever. A change that is still on its way holds the confirmation back; one that a region refuses does not, for it
must not close the region.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from control_silo.regions import store as region_store
from control_silo.tokens import store
from shared import delivery
from shared.database import Database, Transaction
from shared.errors import ServiceError
from shared.outbox import enqueue
from shared.outbox.domain import SubjectState

EVERY_S = 10.0
_LOOK_S = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_log = structlog.get_logger("siloway.tokens")


class ConfirmationSource:
    """Reads what the outbox's confirmation messages stand for; the subject is the region, the version the time."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        """For each region the time up to which all changes of tokens are delivered."""
        states: dict[str, SubjectState] = {}
        for region in subjects:
            waiting_since = store.oldest_waiting(transaction, region)
            confirmed_at = min(transaction.now, waiting_since or transaction.now)
            version = (confirmed_at - _EPOCH) // (datetime.resolution)
            states[region] = (version, False, delivery.encode(delivery.Confirmation(confirmed_at)))
        return states


class Confirmations:
    """Sends each region of the directory a confirmation every 10 s; a region that is new gets one within a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sent_at: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        while not stop.is_set():
            try:
                self.send_due()
            except ServiceError as error:
                _log.warning("confirmations_not_sent", reason=error.reason)
            stop.wait(_LOOK_S)

    def send_due(self) -> list[str]:
        """Enqueue what is due; returns the regions. One that waits to be delivered will tell the time of then."""
        now_s = self._database.clock.monotonic()
        names = [region.name for region in self._database.read(region_store.read_all)]
        due = [name for name in names if now_s - self._sent_at.get(name, -EVERY_S) >= EVERY_S]
        if due:
            self._database.transact(lambda transaction: confirm(transaction, due))
            self._sent_at.update(dict.fromkeys(due, now_s))
        return due


def confirm(transaction: Transaction, regions: Sequence[str]) -> None:
    """Enqueue a confirmation for each of the regions that none waits for."""
    for region in regions:
        aggregate = f"confirmations/{region}"
        if not store.is_waiting(transaction, region, aggregate):
            enqueue(transaction, target=region, aggregate=aggregate, category=delivery.CONFIRMATION, subject=region)
