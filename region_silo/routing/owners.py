"""Who owns an organization that this region does not have: told by the directory, or by control.

Asked only on the way to a refusal, never inside a transaction. Control's silence costs a caller a second at most and
is not asked again for a moment: without an answer the organization is one that is not there.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from region_silo.routing import usecases
from region_silo.routing.domain import Ask, Owner, whom_to_ask
from shared.clock import Clock
from shared.database import Database
from shared.errors import DeadlineExceeded, OrganizationNotFound, ServiceError
from shared.names import Key
from shared.rpc.methods import Budget, Door
from shared.rpc.permits import DEFAULT_BUDGETS, Permits

KEEP_OWNER_S: Final = 5.0
"""How long an answer about another region's organization is good."""

KEEP_NOBODY_S: Final = 1.0
"""How long it is good that nobody has an organization: one may be made at any time."""

PAUSE_S: Final = 2.0
"""How long control is left alone after it did not answer."""

KEPT_MAX: Final = 10_000

_log = structlog.get_logger("siloway.routing")


class Owners:
    """Finds owners. Safe to share among threads.

    `ask` is control's FindOrganization: the owner, or OrganizationNotFound; at most as many ask at one time as calls
    may wait on the other silo.
    """

    def __init__(
        self,
        database: Database,
        ask: Callable[[Key], Owner],
        *,
        region: str,
        clock: Clock,
        waiting_max: int = DEFAULT_BUDGETS[Budget.PEERS],
    ) -> None:
        self.region = region
        self._database = database
        self._ask = ask
        self._clock = clock
        self._permits = Permits(Door.PUBLIC, Budget.PEERS, waiting_max)
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, tuple[float, Owner | None]] = OrderedDict()
        self._silent_until = 0.0

    def owner_of(self, key: Key) -> Owner | None:
        """The owner of an organization that this region does not have by that key; None when nobody is known.

        The owner may be this region, when control knows the organization by another slug than its rows do. Raises
        ResourceExhausted when too many callers wait for control, DeadlineExceeded when the call's own time is over.
        """
        whom, number = whom_to_ask(key)
        if whom is Ask.NOBODY:
            return None
        if whom is Ask.DIRECTORY:
            assert isinstance(key, int), "only ids carry a number"
            entry = self._database.read(lambda transaction: usecases.find_region(transaction, number))
            if entry is None or entry.name == self.region:
                return None
            return Owner(key, entry.name, entry.public_address)
        return self._from_control(key.lower() if isinstance(key, str) else key)

    def _from_control(self, key: Key) -> Owner | None:
        with self._lock:
            now = self._clock.monotonic()
            until, owner = self._kept.get(key, (0.0, None))
            if now < until:
                return owner
            if now < self._silent_until:
                return None
        self._permits.take()
        try:
            owner = self._ask(key)
        except OrganizationNotFound:
            return self._keep(key, None)
        except DeadlineExceeded:
            raise
        except ServiceError as error:
            _log.warning("control_not_asked", reason=error.reason, pause_s=PAUSE_S)
            with self._lock:
                self._silent_until = self._clock.monotonic() + PAUSE_S
            return None
        finally:
            self._permits.give_back()
        # What is ours is asked for each time: slugs change, and only control may say so.
        return owner if owner.region == self.region else self._keep(key, owner)

    def _keep(self, key: Key, owner: Owner | None) -> Owner | None:
        with self._lock:
            good_s = KEEP_NOBODY_S if owner is None else KEEP_OWNER_S
            self._kept[key] = (self._clock.monotonic() + good_s, owner)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return owner
