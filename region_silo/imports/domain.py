"""What an import is, and how its state may change.

The states are a pure function: (state, event) -> (state, effects). Whoever applies it does the effects in the same
transaction, file removal right after it. SUCCEEDED and FAILED are final.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from region_silo.imports.options import NO_OPTIONS, ImportOptions
from shared.importing.decisions import Counts
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms
from shared.requests.domain import StoredError


class Scope(IntEnum):
    """What an import may touch; the numbers stand in the rows."""

    USER = 1
    ORGANIZATION = 2
    CONFIG = 3
    GLOBAL = 4

    @property
    def takes(self) -> ImportScope:
        """The models that it takes."""
        return ImportScope[self.name]

    @property
    def permission(self) -> str:
        """The token scope that it needs."""
        return self.takes.permission


class State(IntEnum):
    """How far an import has come; the numbers stand in the rows."""

    UPLOADING = 1
    QUEUED = 2
    WRITING = 3
    RESERVING = 4
    SUCCEEDED = 5
    FAILED = 6
    FINISHING = 7


class Event(Enum):
    """What happens to an import."""

    RECEIVED = "the whole file is on disk"
    LEASED = "a process works on it"
    ROWS_WRITTEN = "every row is written or has a finding"
    SLUGS_APPLIED = "every organization has its slug"
    FINISHED = "rows that need the slugs are written too"
    GAVE_UP = "it cannot go on"


class Effect(Enum):
    """What belongs to a change of state."""

    ACTIVATE_ORGANIZATIONS = "they are open to others now"
    CLOSE_REQUEST = "the request record is done or failed"
    REMOVE_FILE = "the upload is needed no more"


class ImpossibleChangeError(Exception):
    """The event cannot happen in that state: a programmer's error."""


_CHANGES: dict[tuple[State, Event], tuple[State, frozenset[Effect]]] = {
    (State.UPLOADING, Event.RECEIVED): (State.QUEUED, frozenset()),
    (State.QUEUED, Event.LEASED): (State.WRITING, frozenset()),
    (State.WRITING, Event.LEASED): (State.WRITING, frozenset()),
    (State.RESERVING, Event.LEASED): (State.RESERVING, frozenset()),
    (State.WRITING, Event.ROWS_WRITTEN): (State.RESERVING, frozenset()),
    (State.RESERVING, Event.SLUGS_APPLIED): (State.FINISHING, frozenset()),
    (State.FINISHING, Event.LEASED): (State.FINISHING, frozenset()),
    (State.FINISHING, Event.FINISHED): (
        State.SUCCEEDED,
        frozenset({Effect.ACTIVATE_ORGANIZATIONS, Effect.CLOSE_REQUEST, Effect.REMOVE_FILE}),
    ),
    # The file of a failed import stays until its retention ends: what failed can be taken up again.
    (State.WRITING, Event.GAVE_UP): (State.FAILED, frozenset({Effect.CLOSE_REQUEST})),
    (State.RESERVING, Event.GAVE_UP): (State.FAILED, frozenset({Effect.CLOSE_REQUEST})),
    (State.FINISHING, Event.GAVE_UP): (State.FAILED, frozenset({Effect.CLOSE_REQUEST})),
}


def change(state: State, event: Event) -> tuple[State, frozenset[Effect]]:
    """The next state and what belongs to the change. Raises ImpossibleChangeError."""
    try:
        return _CHANGES[state, event]
    except KeyError:
        raise ImpossibleChangeError(f"{event.name} in {state.name}") from None


def back_off_s(failures: int, maximum_s: float = 30.0) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4, 8, 16, 30, 30."""
    return float(min(2.0 ** min(max(failures, 1) - 1, 10), maximum_s))


@dataclass(frozen=True)
class ModelTotal:
    """A model of the file and its rows."""

    model: str
    rows: int


@dataclass(frozen=True)
class DataImport:
    """One import's row. `models` are in the order of writing; `filtered_at` says that what filters want is known."""

    id: int
    principal: str
    request_id: str
    scope: Scope
    state: State
    size_bytes: int
    sha256: str
    object_count: int
    done_count: int
    finding_count: int
    models: tuple[ModelTotal, ...]
    error: StoredError | None
    attempts: int
    peer_failures: int
    asked_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    options: ImportOptions = NO_OPTIONS
    filtered_at: datetime | None = None

    @property
    def name(self) -> str:
        """The resource's name."""
        return import_name(self.id)

    @property
    def terms(self) -> Terms:
        """What it may do with rows."""
        return self.options.terms(self.scope.takes)

    def objects_per_second(self, now: datetime) -> float:
        """Done objects a second since the writing began; 0 before."""
        if self.started_at is None:
            return 0.0
        elapsed_s = ((self.ended_at or now) - self.started_at).total_seconds()
        return self.done_count / elapsed_s if elapsed_s > 0 else 0.0


@dataclass(frozen=True)
class ImportedOrganization:
    """An organization that an import made; `slug` is None until control has given it one."""

    id: int
    base_slug: str
    slug: str | None


@dataclass(frozen=True)
class ImportReport:
    """An import with what is counted and made so far; counts in the order of writing."""

    data_import: DataImport
    counts: tuple[tuple[ModelTotal, Counts], ...]
    organizations: tuple[ImportedOrganization, ...]


@dataclass(frozen=True)
class SlugWish:
    """An organization without a slug, and the slug that it had in the file."""

    organization_id: int
    base_slug: str
    display_name: str


def import_name(import_id: int) -> str:
    """The canonical name, imports/{id}."""
    return f"imports/{import_id}"
