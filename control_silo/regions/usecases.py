"""The directory: in line with the settings, told to every region, and who of them gets new organizations.

A region that settings no longer name stays known. Whoever makes an organization asks `check_accepts_organizations` in
its own transaction: once DrainRegion has answered, no new organization of that region is committed.
"""

from collections.abc import Mapping, Sequence

from control_silo.regions import domain, store
from control_silo.regions.domain import Region, RegionState, ShownRegion
from control_silo.tokens.usecases import send_tokens_to_region
from shared import audit, delivery, requests
from shared.database import Transaction
from shared.errors import RegionDraining, RegionNotFound, Resource
from shared.outbox import enqueue
from shared.outbox.domain import SubjectState
from shared.requests import Mutation


def register_regions(transaction: Transaction, regions: Sequence[Region]) -> None:
    """Write the regions and tell all regions of what changed; one that is new gets the whole directory and all tokens
    of its audience. Without a change nothing is written.

    Raises RegionNumberTaken when two regions share a number or one would change its own.
    """
    store.lock(transaction)
    known = {region.name: region for region in store.read_all(transaction)}
    domain.check_numbers(known.values(), regions)
    changed = {region.name: region for region in regions if known.get(region.name) != region}
    changed |= {name: known[name] for name in store.untold(transaction) if name not in changed}
    store.write(transaction, changed.values())
    new = sorted(changed.keys() - known.keys())
    everywhere = sorted(known.keys() | changed.keys())
    for target in everywhere:
        for name in everywhere if target in new else sorted(changed):
            _send(transaction, name, target)
    for name in new:
        send_tokens_to_region(transaction, name)


def send_directory(transaction: Transaction, target: str) -> None:
    """Tell a region the whole directory again."""
    for region in store.read_all(transaction):
        _send(transaction, region.name, target)


def resend_region(transaction: Transaction, name: str) -> bool:
    """Tell all regions of one again, under a new version; False when the directory does not know it."""
    store.lock(transaction)
    if not store.raise_version(transaction, name):
        return False
    for region in store.read_all(transaction):
        _send(transaction, name, region.name)
    return True


def list_regions(transaction: Transaction) -> list[Region]:
    """All regions by name."""
    return store.read_all(transaction)


def show_regions(transaction: Transaction) -> list[ShownRegion]:
    """All regions by name, with their states and how many organizations they have."""
    return store.show_all(transaction)


def show_region(transaction: Transaction, name: str) -> ShownRegion:
    """One region. Raises RegionNotFound."""
    found = store.show(transaction, name)
    if found is None:
        raise _not_found(name)
    return found


def drain_region(transaction: Transaction, mutation: Mutation, name: str) -> ShownRegion:
    """Keep new organizations away from a region. Raises RegionNotFound, RequestIdReused."""
    return _change_state(transaction, mutation, name, RegionState.DRAINING)


def undrain_region(transaction: Transaction, mutation: Mutation, name: str) -> ShownRegion:
    """Let a region have new organizations again. Raises RegionNotFound, RequestIdReused."""
    return _change_state(transaction, mutation, name, RegionState.ACTIVE)


def check_accepts_organizations(transaction: Transaction, region: str) -> None:
    """Raise unless the region of that name may get a new organization, which stays so until the transaction ends.

    Takes the region's row after the organizations' locks and before the reservations'. Raises RegionNotFound,
    RegionDraining.
    """
    state = store.hold_state(transaction, region)
    if state is None:
        raise _not_found(region)
    if state is RegionState.DRAINING:
        raise RegionDraining(
            f"region {region} is draining and gets no new organizations",
            metadata={"region": region},
            resource=Resource("siloway/Region", region_name(region)),
        )


def number_of(transaction: Transaction, name: str) -> int | None:
    """The number of a region, or None for a name that the directory does not know."""
    return next((region.number for region in store.read_all(transaction) if region.name == name), None)


def region_name(name: str) -> str:
    """`regions/<name>`."""
    return f"regions/{name}"


class RegionSource:
    """Reads the rows that the outbox's directory messages stand for."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        """The entry of each region by its name. No region is ever deleted."""
        return {
            name: (version, False, delivery.encode(entry))
            for name, (version, entry) in store.read_entries(transaction, subjects).items()
        }


def _change_state(transaction: Transaction, mutation: Mutation, name: str, state: RegionState) -> ShownRegion:
    def work() -> ShownRegion:
        store.set_state(transaction, name, state)
        shown = show_region(transaction, name)
        audit.record(
            transaction,
            action="region.drain" if state is RegionState.DRAINING else "region.undrain",
            target=region_name(name),
            request_id=mutation.request_id,
        )
        return shown

    return requests.once(transaction, mutation, ShownRegion, work, resource=lambda region: region_name(region.name))


def _send(transaction: Transaction, name: str, target: str) -> None:
    enqueue(transaction, target=target, aggregate=region_name(name), category=delivery.REGION, subject=name)


def _not_found(name: str) -> RegionNotFound:
    return RegionNotFound(metadata={"region": name}, resource=Resource("siloway/Region", region_name(name)))
