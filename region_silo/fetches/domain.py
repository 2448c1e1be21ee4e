"""What a fetch of commits is, what may become of each of its refs, and when a failed one is tried again.

A fetch is tried as a whole: a new attempt asks for all its refs anew, for what an attempt before has found was never
written. It has succeeded when one ref at least was answered, be it with nothing; it has failed when none was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

ATTEMPTS_MAX = 5
_BACK_OFF_FIRST_S = 10.0
_BACK_OFF_MAX_S = 300.0


class FetchState(Enum):
    """How far a fetch is; the names stand in the rows."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class FetchedRef:
    """What is fetched of one repository, and what became of it.

    `previous_commit` is where it begins, that commit excluded; empty means the newest commits of the repository.
    """

    repository: str
    commit: str
    previous_commit: str
    commit_count: int = 0
    done: bool = False
    error_reason: str = ""
    error_message: str = ""


@dataclass(frozen=True)
class CommitFetch:
    """A fetch as it is shown; `previous_version` is empty when no release comes before, or it is gone."""

    id: int
    organization_id: int
    version: str
    state: FetchState
    refs: tuple[FetchedRef, ...]
    previous_version: str
    previous_reason: str
    commit_count: int
    attempts: int
    next_try_at: datetime | None
    created_at: datetime
    updated_at: datetime


def anew(refs: Sequence[FetchedRef]) -> tuple[FetchedRef, ...]:
    """The refs as a new attempt finds them."""
    return tuple(replace(ref, commit_count=0, done=False, error_reason="", error_message="") for ref in refs)


def outcome(refs: Sequence[FetchedRef]) -> FetchState:
    """How a fetch ends whose refs were all asked for."""
    return FetchState.SUCCEEDED if any(ref.done and not ref.error_reason for ref in refs) else FetchState.FAILED


def back_off_s(attempts: int) -> float:
    """Seconds until the next try after so many failed ones."""
    return min(_BACK_OFF_FIRST_S * 4.0 ** (attempts - 1), _BACK_OFF_MAX_S)
