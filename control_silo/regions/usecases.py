"""Bringing the directory in line with the settings, and reading it. A region that settings no longer name stays
known.
"""

from collections.abc import Sequence

from control_silo.regions import domain, store
from control_silo.regions.domain import Region
from control_silo.tokens.usecases import send_tokens_to_region
from shared.database import Transaction


def register_regions(transaction: Transaction, regions: Sequence[Region]) -> None:
    """Write the regions; one that is new gets all tokens of its audience. Without a change nothing is written.

    Raises RegionNumberTaken when two regions share a number or one would change its own.
    """
    store.lock(transaction)
    known = {region.name: region for region in store.read_all(transaction)}
    domain.check_numbers(known.values(), regions)
    changed = [region for region in regions if known.get(region.name) != region]
    store.write(transaction, changed)
    for region in changed:
        if region.name not in known:
            send_tokens_to_region(transaction, region.name)


def list_regions(transaction: Transaction) -> list[Region]:
    """All regions by name."""
    return store.read_all(transaction)


def number_of(transaction: Transaction, name: str) -> int | None:
    """The number of a region, or None for a name that the directory does not know."""
    return next((region.number for region in store.read_all(transaction) if region.name == name), None)
