"""What the importer needs of others: control, and new ids."""

from typing import Protocol

from region_silo.imports.domain import SlugWish
from region_silo.imports.planner import PlanPeer
from region_silo.imports.undo_peer import UndoPeer
from shared.importing.handover import CompletedUsers, HandedAnswer, HandedBatch, UsersToComplete


class ControlPeer(PlanPeer, UndoPeer, Protocol):
    """What the importer asks of control. All raise PeerUnavailable and the like when control cannot be reached."""

    def import_batch(self, batch: HandedBatch) -> HandedAnswer:
        """Write a batch of one of control's models; a repeat gets the stored answer."""
        ...

    def complete_users(self, wanted: UsersToComplete) -> CompletedUsers:
        """Have the next users of an import get the own addresses that they lack; a repeat does no harm."""
        ...

    def reserve_slugs(self, change_set: str, wishes: list[SlugWish], *, plan: str = "") -> None:
        """Ask for slugs, at most 5,000 organizations a call; control applies them by calling the region back. What is
        held for `plan` may be given.
        """
        ...


class Ids(Protocol):
    """Where new snowflakes come from."""

    def take(self, count: int) -> list[int]:
        """Give out `count` new ids."""
        ...
