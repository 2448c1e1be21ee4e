"""What control hands to a region's exporter, as data: what is asked for, and the rows of control's models."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shared.importing.registry import ImportScope


@dataclass(frozen=True)
class RowsWanted:
    """What an export asks of control. None lets everything pass, an empty tuple nothing.

    `organizations`: only members of these, and rows about these. `principal` is who asked for the export.
    """

    export_id: int
    principal: str
    scope: ImportScope
    usernames: tuple[str, ...] | None = None
    organizations: tuple[int, ...] | None = None


class HandedRow(NamedTuple):
    """A row of control's: what its references hold in the registry's order, and its fields as JSON."""

    model: str
    pk: int
    references: tuple[int | None, ...]
    fields: bytes


class ControlPeer(Protocol):
    """What the exporter asks of control."""

    def rows(self, wanted: RowsWanted) -> Iterator[HandedRow | None]:
        """All rows of control's models, models in the registry's order, rows by pk; of one moment. None now and then,
        as long as control reads and has nothing to give yet.

        Raises PeerUnavailable and the like when control cannot be reached, ScopeMissing and ExportTooLarge for good,
        Internal for a bug.
        """
        ...
