"""What control knows of a region that may be lost."""

from dataclasses import dataclass
from datetime import datetime

from shared import delivery

HOLD_CATEGORIES = (delivery.APPLY_SLUGS.name, delivery.CREATE_ORGANIZATION.name, delivery.CANCEL.name)
"""Messages that would let a region use what is held for it; they are skipped when the holds end."""

SKIP_REASON = "the region was declared lost"


@dataclass(frozen=True)
class Presence:
    """`lost_at` is None while the region is there. All that it was given before has a fence version up to `fence`."""

    region: str
    lost_at: datetime | None
    fence: int


@dataclass(frozen=True)
class Recovery:
    """What a declaration or a recovery has done."""

    region: str
    lost_at: datetime | None
    fence: int
    released: int = 0
    skipped: int = 0
