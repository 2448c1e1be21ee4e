"""What undoing an import asks of control."""

from collections.abc import Sequence
from typing import Protocol

from shared.importing.undo_handover import UndoWanted
from shared.importing.undoing import StayingRow, UndonePage


class UndoPeer(Protocol):
    """Both raise PeerUnavailable and the like when control cannot be reached."""

    def undo_rows(self, wanted: UndoWanted) -> UndonePage:
        """Do a phase for a span of one of control's models. Raises UndoTooLate, ScopeMissing."""
        ...

    def find_references(self, import_id: int, model: str, pks: Sequence[int]) -> list[StayingRow]:
        """Rows of one of the region's models, at most 5,000, that something in control refers to."""
        ...
