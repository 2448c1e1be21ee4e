"""What control asks of the region while it compares: short reads with fixed limits, each a transaction of its own.

Telling control again raises an organization's version: a message whose version control has seen would be dropped.
"""

from collections.abc import Mapping, Sequence

from region_silo.comparison import store
from region_silo.slugs.store import lock
from region_silo.slugs.usecases import announce_organizations
from shared.comparing import store as comparing
from shared.comparing.domain import LISTED_MAX, RANGE_ROWS_MAX, Digest, KeyRange, Kind, Listed, Look
from shared.database import Transaction


def digest_ranges(transaction: Transaction, kind: Kind, ranges: Sequence[KeyRange]) -> list[Digest]:
    """The digest of each range."""
    comparing.use_indexes(transaction)
    return comparing.digest_ranges(transaction, store.SOURCES[kind], {}, ranges, rows_max=RANGE_ROWS_MAX)


def list_rows(transaction: Transaction, kind: Kind, within: KeyRange) -> list[Listed]:
    """The first 1,000 rows of a range."""
    comparing.use_indexes(transaction)
    return comparing.list_rows(transaction, store.SOURCES[kind], {}, within, rows_max=LISTED_MAX)


def read_rows(transaction: Transaction, kind: Kind, subjects: Sequence[str]) -> Look:
    """These subjects as they are now."""
    rows = comparing.read_rows(transaction, store.SOURCES[kind], {}, subjects)
    return Look(rows, store.waiting(transaction, kind, subjects))


def resend_organizations(transaction: Transaction, versions: Mapping[int, int]) -> None:
    """Tell control of these organizations again, under a new version where it is still the one that control compared.

    One that is not here any more is told as whatever the outbox still knows of it.
    """
    lock(transaction, versions)
    store.raise_versions(transaction, versions)
    announce_organizations(transaction, sorted(versions))
