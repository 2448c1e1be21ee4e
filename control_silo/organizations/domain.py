"""Control's row of an organization: its id and slug mapped to the region that owns its data.

The row exists from the first reservation on, without a slug until the region has applied one; so what a region tells of
an organization never arrives too early.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.deletion import DeletionStage

IMPORTING = "importing"
ACTIVE = "active"


@dataclass(frozen=True)
class Mapping:
    """One organization. `version` is that of the region's row that control has seen last, 0 before the first.

    `deletion_version` counts the changes of `deletion`; `deleted_at` is when that was asked for.
    """

    organization_id: int
    slug: str | None
    name: str
    region: str
    region_address: str
    state: str
    version: int
    created_at: datetime
    updated_at: datetime
    deletion: DeletionStage = DeletionStage.NONE
    deletion_version: int = 0
    deleted_at: datetime | None = None
    purge_at: datetime | None = None
