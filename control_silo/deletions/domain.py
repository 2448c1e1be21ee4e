"""When an organization is deleted for good, what may be asked of it until then, and how long its slugs rest afterwards.

NONE -> PENDING -> DELETING -> GONE -> nothing left. Only PENDING goes back, and only before its purge time. What the
region says (GONE) holds in every stage: it owns the rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from shared.deletion import DeletionStage

GRACE = timedelta(days=30)
QUARANTINE = timedelta(days=90)


class Refusal(Enum):
    """Why a deletion cannot be taken back."""

    NOT_DELETED = "it is not to be deleted"
    TOO_LATE = "it is being deleted for good"


@dataclass(frozen=True)
class Deletions:
    """The silo's settings: how long a deletion can be taken back, and how long a deleted one's slugs are nobody's."""

    grace: timedelta = GRACE
    quarantine: timedelta = QUARANTINE


def undelete(stage: DeletionStage, purge_at: datetime | None, now: datetime) -> DeletionStage | Refusal:
    """The stage after taking a deletion back, or why that cannot be."""
    if stage is DeletionStage.NONE:
        return Refusal.NOT_DELETED
    if stage is not DeletionStage.PENDING:
        return Refusal.TOO_LATE
    assert purge_at is not None, "a deletion that is pending has an end"
    return DeletionStage.NONE if now < purge_at else Refusal.TOO_LATE
