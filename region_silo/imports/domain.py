"""What an import is, and how its state may change.

The states are a pure function: (state, event) -> (state, effects). Whoever applies it does the effects in the same
transaction, file removal right after it. What STOPPED, FAILED, or SUCCEEDED with errors, may be retried; what has ended
in any way may be undone, and is never gone on with after that. A pause, a cancel, and errors that stop, take effect
with a batch and in its transaction: a process that dies between two batches loses none of them.
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
    PAUSED = 8
    CANCELLED = 9
    STOPPED = 10
    PLANNING = 11
    PLANNED = 12
    UNDOING = 13
    UNDONE = 14


_STOPPABLE = (State.QUEUED, State.WRITING, State.RESERVING, State.FINISHING, State.PLANNING)

RUNNING = (*_STOPPABLE, State.UNDOING)
"""A process works on it, or will by itself."""

RESTING = (State.SUCCEEDED, State.FAILED, State.PAUSED, State.CANCELLED, State.STOPPED, State.PLANNED, State.UNDONE)
"""Nothing more happens by itself."""


class Event(Enum):
    """What happens to an import."""

    RECEIVED = "the whole file is on disk"
    LEASED = "a process works on it"
    LEASED_TO_PLAN = "a process works on it, and it is a plan"
    PLANNED = "every row is decided, and slugs are held"
    ROWS_WRITTEN = "every row is written or has a finding"
    SLUGS_APPLIED = "every organization has its slug"
    FINISHED = "rows that need the slugs are written too"
    GAVE_UP = "it cannot go on"
    ERRORS_FOUND = "the batch had errors, and they stop it"
    PAUSED = "a pause was asked for, and no batch is at hand"
    CANCELLED = "its end was asked for, and no batch is at hand"
    RESUMED = "the pause is over"
    RETRIED = "what failed is to be tried again"
    UNDO = "what it wrote is to go"
    UNDONE = "what it wrote has gone, or stays and is told"


class Effect(Enum):
    """What belongs to a change of state."""

    ACTIVATE_ORGANIZATIONS = "they are open to others now"
    CLOSE_REQUEST = "the request record is done or failed"
    REMOVE_FILE = "the upload is needed no more"
    SPARE_FILE = "the upload is only kept to verify what it brought, while there is room"


class ImpossibleChangeError(Exception):
    """The event cannot happen in that state: a programmer's error."""


_CHANGES: dict[tuple[State, Event], tuple[State, frozenset[Effect]]] = {
    (State.UPLOADING, Event.RECEIVED): (State.QUEUED, frozenset()),
    (State.QUEUED, Event.LEASED): (State.WRITING, frozenset()),
    (State.WRITING, Event.LEASED): (State.WRITING, frozenset()),
    (State.QUEUED, Event.LEASED_TO_PLAN): (State.PLANNING, frozenset()),
    (State.PLANNING, Event.LEASED_TO_PLAN): (State.PLANNING, frozenset()),
    (State.PLANNING, Event.PLANNED): (State.PLANNED, frozenset({Effect.CLOSE_REQUEST})),
    (State.PLANNING, Event.GAVE_UP): (State.FAILED, frozenset({Effect.CLOSE_REQUEST})),
    (State.RESERVING, Event.LEASED): (State.RESERVING, frozenset()),
    (State.WRITING, Event.ROWS_WRITTEN): (State.RESERVING, frozenset()),
    (State.RESERVING, Event.SLUGS_APPLIED): (State.FINISHING, frozenset()),
    (State.FINISHING, Event.LEASED): (State.FINISHING, frozenset()),
    (State.FINISHING, Event.FINISHED): (
        State.SUCCEEDED,
        frozenset({Effect.ACTIVATE_ORGANIZATIONS, Effect.CLOSE_REQUEST, Effect.SPARE_FILE}),
    ),
    # The file of a failed import stays until its retention ends: what failed can be taken up again.
    (State.WRITING, Event.GAVE_UP): (State.FAILED, frozenset({Effect.CLOSE_REQUEST})),
    (State.RESERVING, Event.GAVE_UP): (State.FAILED, frozenset({Effect.CLOSE_REQUEST})),
    (State.FINISHING, Event.GAVE_UP): (State.FAILED, frozenset({Effect.CLOSE_REQUEST})),
    (State.WRITING, Event.ERRORS_FOUND): (State.STOPPED, frozenset({Effect.CLOSE_REQUEST})),
    (State.FINISHING, Event.ERRORS_FOUND): (State.STOPPED, frozenset({Effect.CLOSE_REQUEST})),
    # It comes back by the queue: what is written is passed over, so that no state has to be remembered.
    (State.PAUSED, Event.RESUMED): (State.QUEUED, frozenset()),
    **{(state, Event.PAUSED): (State.PAUSED, frozenset()) for state in _STOPPABLE},
    **{
        (state, Event.CANCELLED): (State.CANCELLED, frozenset({Effect.CLOSE_REQUEST, Effect.REMOVE_FILE}))
        for state in (*_STOPPABLE, State.PAUSED)
    },
    # Their requests are closed already.
    **{
        (state, Event.CANCELLED): (State.CANCELLED, frozenset({Effect.REMOVE_FILE}))
        for state in (State.STOPPED, State.FAILED, State.PLANNED)
    },
    **{(state, Event.RETRIED): (State.QUEUED, frozenset()) for state in (State.STOPPED, State.FAILED, State.SUCCEEDED)},
    **{
        (state, Event.UNDO): (State.UNDOING, frozenset())
        for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.STOPPED, State.UNDONE)
    },
    (State.UNDOING, Event.LEASED): (State.UNDOING, frozenset()),
    (State.UNDOING, Event.UNDONE): (State.UNDONE, frozenset({Effect.REMOVE_FILE})),
    (State.UNDOING, Event.GAVE_UP): (State.FAILED, frozenset()),
}


def change(state: State, event: Event) -> tuple[State, frozenset[Effect]]:
    """The next state and what belongs to the change. Raises ImpossibleChangeError."""
    try:
        return _CHANGES[state, event]
    except KeyError:
        raise ImpossibleChangeError(f"{event.name} in {state.name}") from None


def may_change(state: State, event: Event) -> bool:
    """Whether the event can happen in that state."""
    return (state, event) in _CHANGES


def after_batch(wanted: State | None, errors: int, continue_on_error: bool) -> Event | None:
    """What ends the work when a batch is done; None when it goes on. What cannot be taken back goes first."""
    if wanted is State.CANCELLED:
        return Event.CANCELLED
    if errors and not continue_on_error:
        return Event.ERRORS_FOUND
    return Event.PAUSED if wanted is State.PAUSED else None


def seconds_left(state: State, objects_left: int, rate: float) -> float | None:
    """About how long the writing still takes at `rate` objects a second; None when nobody can tell."""
    if state is not State.WRITING or rate <= 0:
        return None
    return objects_left / rate


def back_off_s(failures: int, maximum_s: float = 30.0) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4, 8, 16, 30, 30."""
    return float(min(2.0 ** min(max(failures, 1) - 1, 10), maximum_s))


@dataclass(frozen=True)
class ModelTotal:
    """A model of the file and its rows."""

    model: str
    rows: int


@dataclass(frozen=True)
class Undo:
    """How far an import is undone. `count`: how often that was asked for; `by`: who did last. `step`, `after`: the step
    at hand, and the pk in the file up to which it is done. `opens`: its organizations were open, so those that stay are
    opened again.
    """

    count: int = 0
    by: str = ""
    step: str = ""
    after: int = 0
    opens: bool = False
    undone_count: int = 0
    kept_count: int = 0


NOT_UNDONE = Undo()


@dataclass(frozen=True)
class DataImport:
    """One import's row. `models` are in the order of writing; `wanted` is PAUSED or CANCELLED until it is reached;
    `tries` counts how often it was taken up again; its present stretch of work began at `went_on_at`; `filtered_at`
    says that what filters want is known. A plan `is_plan` and can be applied until `expires_at`; what applies one has
    its id as `plan_id`, and is `edited` when rows are taken out or given policies.
    """

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
    updated_at: datetime
    options: ImportOptions = NO_OPTIONS
    filtered_at: datetime | None = None
    wanted: State | None = None
    continue_on_error: bool = False
    error_count: int = 0
    tries: int = 0
    went_on_at: datetime | None = None
    is_plan: bool = False
    plan_id: int | None = None
    edited: bool = False
    expires_at: datetime | None = None
    undo: Undo = NOT_UNDONE

    @property
    def has_file_to_retry(self) -> bool:
        """Whether its file is still of use when it has ended: what failed can be tried again, a plan be applied."""
        return self.error_count > 0 or self.state in (State.STOPPED, State.FAILED, State.PLANNED)

    @property
    def needs_file(self) -> bool:
        """Whether its file must not go: it works on it, or may yet."""
        if self.state in (*_STOPPABLE, State.PAUSED):
            return True
        return self.state not in (State.CANCELLED, State.UNDONE) and self.has_file_to_retry

    @property
    def leaves_gaps(self) -> bool:
        """Whether rows are left out of models before they are looked at."""
        return self.options.filtered or self.edited

    @property
    def file_id(self) -> str:
        """What its file is called in the spool; a plan and what applies it have the same."""
        return str(self.plan_id or self.id)

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
    pace: "Pace"


@dataclass(frozen=True)
class Pace:
    """Objects a second of late, and about how many seconds the writing still takes; None when nobody can tell."""

    objects_per_second: float = 0.0
    seconds_left: float | None = None


@dataclass(frozen=True)
class UploadProgress:
    """How far an upload came: bytes on disk, and what its header announced (0 and "" are not known). `expires_at` is
    None for one that is complete.
    """

    import_id: int
    request_id: str
    offset_bytes: int
    size_bytes: int
    sha256: str
    complete: bool
    expires_at: datetime | None


@dataclass(frozen=True)
class SlugWish:
    """An organization without a slug, and the slug that it had in the file."""

    organization_id: int
    base_slug: str
    display_name: str


def import_name(import_id: int) -> str:
    """The canonical name, imports/{id}."""
    return f"imports/{import_id}"
