"""How far the deletion of an organization has come: the words that control and its region share.

PENDING may go back to NONE; from DELETING on there is no way back. The numbers stand in the rows.
"""

from enum import IntEnum


class DeletionStage(IntEnum):
    """The stages, in their order. GONE is control's alone: the region has nothing left of the organization."""

    NONE = 0
    PENDING = 1
    DELETING = 2
    GONE = 3
