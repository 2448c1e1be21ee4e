"""What an export is, and how its state may change. SUCCEEDED, FAILED and CANCELLED are final."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum

from shared.importing.registry import ImportScope
from shared.requests.domain import StoredError

FILE_KEEP = timedelta(days=1)
"""How long the file of an export can be downloaded."""


class Scope(IntEnum):
    """What an export holds; the numbers stand in the rows and on the wire."""

    USER = 1
    ORGANIZATION = 2
    CONFIG = 3
    GLOBAL = 4

    @property
    def takes(self) -> ImportScope:
        """The models that it takes."""
        return ImportScope[self.name]


class State(IntEnum):
    """How far an export has come; the numbers stand in the rows and on the wire."""

    QUEUED = 1
    BUILDING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5


class Event(Enum):
    """What happens to an export."""

    LEASED = "a process works on it"
    BUILT = "the whole file is on disk"
    GAVE_UP = "it cannot go on"
    CANCELLED = "its creator wants it no more"


class ImpossibleChangeError(Exception):
    """The event cannot happen in that state: a programmer's error."""


OPEN = (State.QUEUED, State.BUILDING)

_CHANGES: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.LEASED): State.BUILDING,
    (State.BUILDING, Event.LEASED): State.BUILDING,
    (State.BUILDING, Event.BUILT): State.SUCCEEDED,
    (State.BUILDING, Event.GAVE_UP): State.FAILED,
    (State.QUEUED, Event.CANCELLED): State.CANCELLED,
    (State.BUILDING, Event.CANCELLED): State.CANCELLED,
    # Whoever cancels what has ended gets to see how it ended.
    (State.SUCCEEDED, Event.CANCELLED): State.SUCCEEDED,
    (State.FAILED, Event.CANCELLED): State.FAILED,
    (State.CANCELLED, Event.CANCELLED): State.CANCELLED,
}


def change(state: State, event: Event) -> State:
    """The next state. Raises ImpossibleChangeError."""
    try:
        return _CHANGES[state, event]
    except KeyError:
        raise ImpossibleChangeError(f"{event.name} in {state.name}") from None


def back_off_s(failures: int, maximum_s: float = 30.0) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4, 8, 16, 30, 30."""
    return float(min(2.0 ** min(max(failures, 1) - 1, 10), maximum_s))


@dataclass(frozen=True)
class ModelRows:
    """How many rows of a model are written."""

    model: str
    rows: int


@dataclass(frozen=True)
class DataExport:
    """One export's row. `usernames` and `organization_slugs`: None lets all pass. `file_token` names its file."""

    id: int
    organization_id: int | None
    principal: str
    scope: Scope
    state: State
    usernames: tuple[str, ...] | None
    organization_slugs: tuple[str, ...] | None
    size_bytes: int
    sha256: str
    object_count: int
    models: tuple[ModelRows, ...]
    file_token: str | None
    error: StoredError | None
    attempts: int
    peer_failures: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def name(self) -> str:
        """The resource's name."""
        return export_name(self.id)

    @property
    def expires_at(self) -> datetime | None:
        """When its file is removed; None without a file."""
        if self.state is not State.SUCCEEDED or self.ended_at is None:
            return None
        return self.ended_at + FILE_KEEP


@dataclass(frozen=True)
class FileDigest:
    """A whole file: its length in bytes and its SHA-256, hexadecimal."""

    length: int
    sha256: str


def export_name(export_id: int) -> str:
    """The canonical name, exports/{id}."""
    return f"exports/{export_id}"
