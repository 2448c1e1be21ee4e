"""What an organization is in its region: a row that an import may still be writing, its slug given by control."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from shared.deletion import DeletionStage

FLAG_OPEN_MEMBERSHIP = 1
"""The flag of an organization whose members may join every team, and so see every project."""


class OrganizationState(IntEnum):
    """The life in the region; the numbers stand in the rows."""

    IMPORTING = 0
    ACTIVE = 1


@dataclass(frozen=True)
class Organization:
    """An organization as it is shown and cached; `slug` is lower case, None until control gave one."""

    id: int
    slug: str | None
    name: str
    state: OrganizationState
    date_added: datetime
    deletion: DeletionStage = DeletionStage.NONE
    purge_at: datetime | None = None
