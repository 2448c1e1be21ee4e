"""Keeping the replica of control's directory, and checking this region's own number by it."""

from collections.abc import Sequence

from region_silo.routing import domain, store
from region_silo.routing.domain import RegionEntry
from shared import delivery
from shared.database import Transaction
from shared.outbox.domain import Message


def apply_regions(transaction: Transaction, messages: Sequence[Message]) -> None:
    """The outbox's handler: take each region's newest entry. Control never deletes one."""
    entries = []
    for message in messages:
        told = delivery.decode(message.payload, delivery.RegionEntry)
        entries.append(RegionEntry(message.subject, told.number, told.public_address, message.version))
    store.write(transaction, entries)


def check_number(transaction: Transaction, *, name: str, number: int) -> None:
    """Raise RegionNumberTaken when this region and another share a number, as far as the directory has come here."""
    domain.check_number(store.read_all(transaction), name=name, number=number)


def find_region(transaction: Transaction, number: int) -> RegionEntry | None:
    """The region with that number, or None for one that no region has."""
    return next((entry for entry in store.read_all(transaction) if entry.number == number), None)
