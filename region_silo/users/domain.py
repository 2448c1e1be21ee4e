"""What a region knows of a user."""

from dataclasses import dataclass
from enum import IntEnum


class Standing(IntEnum):
    """Whether a user may act; the numbers stand in the rows.

    UNCONFIRMED until control has told of the user, UNKNOWN when control has no such one.
    """

    UNCONFIRMED = 0
    ACTIVE = 1
    INACTIVE = 2
    UNKNOWN = 3

    @property
    def may_act(self) -> bool:
        """Whether a membership counts. An unconfirmed user's does: nobody has a token of a user without control."""
        return self in (Standing.UNCONFIRMED, Standing.ACTIVE)


@dataclass(frozen=True)
class KnownUser:
    """A user by control's newest word."""

    id: int
    standing: Standing
    version: int
    addresses: tuple[str, ...] = ()
