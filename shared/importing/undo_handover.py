"""What a region asks of control when an import is undone, as data."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.importing.terms import Terms
from shared.importing.undo_order import Phase


@dataclass(frozen=True)
class UndoWanted:
    """Rows of one of control's models by their pk in the file: above `after`, up to `through`. `principal` asked.

    `referred`: the pks of rows that something in the region refers to, each with why it stays (a finding's kind, and
    what refers). `expects_rows`, in BEGIN: the region knows of rows that control wrote.
    """

    import_id: int
    principal: str
    terms: Terms
    phase: Phase
    model: str = ""
    after: int = 0
    through: int = 0
    referred: Sequence[tuple[int, str]] = ()
    expects_rows: bool = False
