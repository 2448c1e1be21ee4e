"""A reconciler over silos of this process: the regions' use cases are called as their door would call them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from control_silo.reconciliation import store
from control_silo.reconciliation.domain import (
    Difference,
    Nature,
    Reconciliation,
    ReconciliationSettings,
    Repair,
    RepairMode,
)
from control_silo.reconciliation.runner import Reconciler
from control_silo.reconciliation.store import Query
from region_silo.comparison import usecases as region
from shared.comparing.domain import Digest, KeyRange, Kind, Listed, Look
from shared.database import Database
from shared.errors import PeerUnavailable
from tests.integration.callbacks.silos import Silos


class Regions:
    """The regions' rows without doors. `calls` counts; regions in `down` do not answer; `before` runs before a look."""

    def __init__(self, databases: Mapping[str, Database]) -> None:
        self._databases = databases
        self.calls: list[tuple[str, str]] = []
        self.down: set[str] = set()
        self.before: Callable[[str], None] = lambda method: None

    def digest_ranges(self, name: str, kind: Kind, ranges: Sequence[KeyRange]) -> Sequence[Digest]:
        database = self._called(name, "digest_ranges")
        return database.read(lambda transaction: region.digest_ranges(transaction, kind, ranges))

    def list_rows(self, name: str, kind: Kind, within: KeyRange) -> Sequence[Listed]:
        return self._called(name, "list_rows").read(lambda transaction: region.list_rows(transaction, kind, within))

    def read_rows(self, name: str, kind: Kind, subjects: Sequence[str]) -> Look:
        return self._called(name, "read_rows").read(lambda transaction: region.read_rows(transaction, kind, subjects))

    def resend_organizations(self, name: str, versions: Mapping[int, int]) -> None:
        database = self._called(name, "resend_organizations")
        database.transact(lambda transaction: region.resend_organizations(transaction, versions))

    def _called(self, name: str, method: str) -> Database:
        self.calls.append((name, method))
        if name in self.down:
            raise PeerUnavailable(metadata={"region": name})
        self.before(method)
        return self._databases[name]


class NoWaiting(threading.Event):
    """An event whose waits end at once; `waited` is called instead, for each wait that is worth one."""

    def __init__(self, waited: Callable[[float], None] = lambda seconds: None) -> None:
        super().__init__()
        self._waited = waited

    def wait(self, timeout: float | None = None) -> bool:
        if timeout:
            self._waited(timeout)
        return self.is_set()


class Reconciling:
    """Compares all that is due, as `work` does."""

    def __init__(self, silos: Silos, *, repair: RepairMode = RepairMode.LATEST, range_rows: int = 1000) -> None:
        self.silos = silos
        self.regions = Regions(silos.regions)
        self.settings = ReconciliationSettings(every_s=300, pause_s=0, repair=repair, range_rows=range_rows)
        self.reconciler = Reconciler(silos.control, self.regions, self.settings)
        self.stop = NoWaiting()

    def go(self) -> list[str]:
        """Let time pass until all regions are due, and compare them; their names."""
        self.reconciler.compare_due(self.stop)
        self.silos.clock.advance(self.settings.every_s + 1)  # type: ignore[attr-defined]  # the tests' clock
        names = []
        while not self.stop.is_set() and (name := self.reconciler.compare_due(self.stop)) is not None:
            names.append(name)
        return names

    def states(self) -> dict[tuple[str, Kind], Reconciliation]:
        return {(found.region, found.kind): found for found in self.silos.control.read(store.list_states)}

    def equal_up_to(self, name: str, kind: Kind) -> datetime:
        found = self.states()[name, kind].equal_up_to
        assert found is not None, f"{name} {kind} was never equal"
        return found

    def differences(self, *, pending: bool = False, resolved: bool = False) -> list[Difference]:
        query = Query(show_pending=pending, show_resolved=resolved)
        return self.silos.control.read(lambda transaction: store.list_page(transaction, query, after_id=0, limit=1000))

    def told(self) -> list[tuple[str, Kind, str, Nature, Repair]]:
        """The sure and open differences."""
        return [(d.region, d.kind, d.subject, d.nature, d.repair) for d in self.differences()]
