"""Control and two regions whose look-ups ask control in this process; what was asked is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from control_silo.organizations.usecases import resolve
from region_silo.organizations.domain import Organization
from region_silo.organizations.lookup import OrganizationLookup, organization_cache
from region_silo.routing.domain import Owner
from region_silo.routing.owners import Owners
from shared.errors import PeerUnavailable
from shared.model_cache_gate import CacheGate
from shared.names import Key
from shared.rpc.call import Caller, acting
from tests.integration.callbacks.conftest import silos
from tests.integration.callbacks.silos import Silos, add_organizations, organization_ids

__all__ = ["Routing", "routing", "silos"]


@dataclass
class Routing:
    """Look-ups of each region. `asked` has what control was asked; `before_answer` runs before control answers."""

    silos: Silos
    waiting_max: int = 8
    is_control_down: bool = False
    asked: list[Key] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.lookups = {
            name: OrganizationLookup(
                organization_cache(database, None, CacheGate(database, clock=self.silos.clock), name),
                database,
                Owners(database, self._ask, region=name, clock=self.silos.clock, waiting_max=self.waiting_max),
            )
            for name, database in self.silos.regions.items()
        }

    def find(self, region: str, key: Key, *, bound_to: int | None = None) -> Organization:
        with acting(Caller("tokens/1", organization_id=bound_to), method="/test"):
            return self.lookups[region].find(key)

    def place(self, region: str, slug: str) -> int:
        """An organization of the region, with its slug applied everywhere; its id."""
        number = {"us": 1, "de": 2}[region]
        (organization_id,) = organization_ids(number, 1)
        add_organizations(self.silos.regions[region], [(organization_id, slug)])
        self.silos.reserve(region, [(organization_id, slug)])
        self.silos.drain()
        return organization_id

    def _ask(self, key: Key) -> Owner:
        self.asked.append(key)
        self.before_answer()
        if self.is_control_down:
            raise PeerUnavailable
        with acting(Caller("silos/us", silo="us"), method="/test"):
            found, _ = self.silos.control.read(lambda transaction: resolve(transaction, key))
        return Owner(found.organization_id, found.region, found.region_address)


@pytest.fixture
def routing(silos: Silos) -> Routing:
    return Routing(silos)
