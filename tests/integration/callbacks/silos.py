"""Control and regions on real databases, joined by transports of the test's choice: the whole conversation without
doors.

The transport here turns every delivery into its wire form and back, then hands it to the receiver's inbox.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from siloway.internal.v1 import delivery_pb2 as delivery_pb
from sqlalchemy import text

from control_silo.callbacks import registry as control_callbacks
from control_silo.regions.domain import Region
from control_silo.regions.usecases import register_regions
from control_silo.slugs.domain import Reserved, Wish
from control_silo.slugs.usecases import reserve_slugs
from region_silo.callbacks import registry as region_callbacks
from region_silo.provisioning.arrival import with_ids
from shared.clock import Clock
from shared.database import Database, Transaction
from shared.identity import read_identity
from shared.outbox.domain import Delivery, ShardResult
from shared.outbox.drainer import Drainer, DrainReport
from shared.outbox.inbox import receive
from shared.outbox.registry import Registry
from shared.rpc.call import Caller, acting
from shared.rpc.delivery import from_peer, to_wire
from shared.snowflake.allocator import SnowflakeAllocator
from shared.snowflake.domain import LAYOUT_2

REGIONS = (
    Region("de", 2, "127.0.0.1:7721", "127.0.0.1:7720"),
    Region("us", 1, "127.0.0.1:7711", "127.0.0.1:7710"),
)


@contextmanager
def opened_silos(control_url: str, make_region_database: Callable[[str, int], str], clock: Clock) -> "Iterator[Silos]":
    """Control with the regions `us` and `de`, registered; closed at the end."""
    control = Database.open(control_url, clock=clock)
    regions = {
        name: Database.open(make_region_database(name, number), clock=clock) for name, number in (("us", 1), ("de", 2))
    }
    try:
        silos = Silos(control, regions, clock, control_url)
        silos.register()
        yield silos
    finally:
        for database in (control, *regions.values()):
            database.close()


@dataclass
class InProcess:
    """Hands deliveries to inboxes of this process; `seen` keeps them, so that a test can repeat one."""

    receivers: dict[str, Callable[[Delivery], Sequence[ShardResult]]] = field(default_factory=dict)
    seen: list[tuple[str, Delivery]] = field(default_factory=list)
    before: Callable[[str, Delivery], None] = lambda target, delivery: None

    def deliver(self, target: str, delivery: Delivery, timeout_s: float) -> Sequence[ShardResult]:
        self.before(target, delivery)
        self.seen.append((target, delivery))
        return self.receivers[target](delivery)


class Silos:
    """One control and its regions. `woken` records the regions' hook, `closed` control's."""

    def __init__(self, control: Database, regions: dict[str, Database], clock: Clock, control_url: str = "") -> None:
        self.control = control
        self.control_url = control_url
        self.closed: list[str] = []
        self.tell: Callable[[str], None] = lambda channel: None
        numbers = {region.name: region.number for region in REGIONS}
        self.ids = {
            name: SnowflakeAllocator(database, clock=clock, number=numbers[name]) for name, database in regions.items()
        }
        self.regions = regions
        self.clock = clock
        self.transport = InProcess()
        self.woken: list[str] = []
        self.drainers = {"control": self._drainer(control, "control", control_callbacks.sending_registry())}
        self.transport.receivers["control"] = lambda delivery: receive(
            control,
            control_callbacks.receiving_registry(delivery.origin, self._close),
            arrived(delivery, delivery.origin),
        )
        for name, database in regions.items():
            self.drainers[name] = self._drainer(database, name, region_callbacks.sending_registry())
            self.transport.receivers[name] = self._region_inbox(name, database)

    def register(self, *names: str) -> None:
        chosen = [region for region in REGIONS if region.name in (names or tuple(self.regions))]
        self.control.transact(lambda transaction: register_regions(transaction, chosen))

    def reserve(
        self, region: str, wishes: Sequence[tuple[int, str]], *, change_set: str = "imports/1"
    ) -> list[Reserved]:
        items = [Wish(organization_id, slug, f"Name of {slug}") for organization_id, slug in wishes]
        return self.control.transact(
            lambda transaction: reserve_slugs(transaction, region=region, change_set=change_set, wishes=items)
        )

    def drain(self, *names: str, rounds_max: int = 200) -> DrainReport:
        """Drain these silos' outboxes (all, unless named) until nothing is claimed any more."""
        total = DrainReport()
        for _ in range(rounds_max):
            report = DrainReport()
            for name in names or tuple(self.drainers):
                report += self.drainers[name].drain_once()
            total += report
            if not report.claimed:
                return total
        raise AssertionError("the outboxes do not get empty")

    def _drainer(self, database: Database, origin: str, registry: Registry) -> Drainer:
        epoch = database.read(read_identity).epoch
        return Drainer(database, registry, self.transport, clock=self.clock, origin=origin, epoch=epoch)

    def _region_inbox(self, name: str, database: Database) -> Callable[[Delivery], Sequence[ShardResult]]:
        registry = region_callbacks.receiving_registry(wake=self.woken.append)
        take = self.ids[name].take
        return lambda delivery: receive(database, registry, with_ids(arrived(delivery, "control"), take))

    def _close(self, channel: str) -> None:
        self.closed.append(channel)
        self.tell(channel)


def arrived(delivery: Delivery, silo: str) -> Delivery:
    """The delivery after its way over the wire from `silo`."""
    request = delivery_pb.DeliverMessagesRequest.FromString(to_wire(delivery).SerializeToString())
    with acting(Caller(f"silos/{silo}", silo=silo), method="/test"):
        return from_peer(request)


def organization_ids(number: int, count: int, start: int = 0) -> list[int]:
    """Ids that carry a region's number."""
    return [LAYOUT_2.encode(100 + start, number, sequence) for sequence in range(count)]


def add_organizations(database: Database, wishes: Sequence[tuple[int, str]]) -> None:
    """Organizations as the importer leaves them: without a slug, IMPORTING."""

    def work(transaction: Transaction) -> None:
        transaction.execute(
            text(
                """ INSERT INTO organization (id, slug, base_slug, name, state, status, default_role, flags, is_test,
                date_added) VALUES (:id, NULL, :slug, :name, 0, 0, 'member', 0, false, :now)
                """
            ),
            [{"id": i, "slug": slug, "name": f"Name of {slug}", "now": transaction.now} for i, slug in wishes],
        )

    database.transact(work)


def rows(database: Database, statement: str, **parameters: object) -> list[tuple[object, ...]]:
    return [tuple(row) for row in database.read(lambda t: t.execute(text(statement), parameters).all())]


def execute(database: Database, statement: str, **parameters: object) -> None:
    database.transact(lambda transaction: transaction.execute(text(statement), parameters))


def pending(database: Database) -> int:
    found = rows(database, "SELECT count(*) FROM outbox_message")[0][0]
    assert isinstance(found, int)
    return found


def region_slugs(database: Database) -> dict[object, object]:
    return dict(rows(database, "SELECT id, slug FROM organization"))  # type: ignore[arg-type]  # two columns


def reservations(database: Database) -> dict[object, tuple[object, ...]]:
    """slug -> (organization, type, state, fence version)."""
    found = rows(database, "SELECT slug, organization_id, type, state, fence_version FROM slug_reservation")
    return {row[0]: row[1:] for row in found}


def new_epoch() -> str:
    return str(uuid.uuid4())
