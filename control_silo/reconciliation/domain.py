"""When two silos differ about a subject, and what may be done about it.

A subject is judged by three looks: control's, the region's, control's again. A difference counts only when control did
not change meanwhile and nothing about it was on its way in either silo: every change of before was delivered before
the looks then, so nothing that is in flight is ever taken for a difference.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from shared.comparing.domain import RANGE_ROWS, Kind, Look, Row

PENDING_MAX = timedelta(hours=1)
"""A subject that could not be judged for so long is told as a difference: what is on its way does not arrive."""

REPAIR_AGAIN_AFTER = timedelta(minutes=10)
"""Nothing is repaired by itself a second time within that; each further time waits twice as long, up to a day or so."""

_DOUBLINGS_MAX = 7

DIFFERENCES_MAX = 1000
"""Of one region and kind; a comparison that finds more stops there and goes on once some are resolved."""


class Nature(Enum):
    """What is wrong with the copy; the values stand in rows. Of an organization control has the copy, else the region.

    ELSEWHERE: control gives the organization to another region, or the token to other silos.
    """

    MISSING = "missing"
    OLDER = "older"
    NEWER = "newer"
    CONTENT = "content"
    GONE = "gone"
    ELSEWHERE = "elsewhere"


class Repair(Enum):
    """What can be done safely, because one silo has the truth; the values stand in rows."""

    NONE = "none"
    RESEND = "resend"
    REMOVE = "remove"
    APPLY = "apply"


class State(Enum):
    """How sure a difference is; the values stand in rows. RESOLVED ones are only kept for who looks later."""

    PENDING = "pending"
    DIFFERENT = "different"
    RESOLVED = "resolved"


class RepairMode(Enum):
    """What is repaired without being asked: nothing, copies that are missing or older, or all that is safe."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


@dataclass(frozen=True)
class ReconciliationSettings:
    """`every_s` between two comparisons of a region (0: none), `pause_s` after each ten ranges of one."""

    every_s: float = 300.0
    pause_s: float = 0.1
    repair: RepairMode = RepairMode.LATEST
    range_rows: int = RANGE_ROWS


class Verdict(Enum):
    """What the looks at a subject say."""

    EQUAL = "equal"
    PENDING = "pending"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Judgement:
    """The verdict on one subject, and what each silo has of it. `nature` says nothing when it is EQUAL."""

    verdict: Verdict
    nature: Nature = Nature.CONTENT
    repair: Repair = Repair.NONE
    control_has: str = ""
    region_has: str = ""


@dataclass(frozen=True)
class Difference:
    """One row of what was found. `repair_requested_at` is None unless an operator waits for a repair."""

    id: int
    region: str
    kind: Kind
    subject: str
    nature: Nature
    state: State
    repair: Repair
    control_has: str
    region_has: str
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    repair_requested_at: datetime | None
    repaired_at: datetime | None
    repair_count: int


@dataclass(frozen=True)
class Reconciliation:
    """How far one kind of one region has come. `position` is the key that a running comparison has reached."""

    region: str
    kind: Kind
    equal_up_to: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    position: int
    row_count: int
    duration_ms: int
    differences: int
    pending: int
    last_error: str


def judge(kind: Kind, subject: str, before: Look, region: Look, after: Look) -> Judgement:
    """Judge a subject by control's look before, the region's look, and control's look after it."""
    ours, theirs = after.counted(subject), region.counted(subject)
    if (ours and ours.digest) == (theirs and theirs.digest):
        return Judgement(Verdict.EQUAL)
    control_row, region_row = after.rows.get(subject), region.rows.get(subject)
    if control_row is not None and control_row.elsewhere:
        nature = Nature.ELSEWHERE
    elif kind is Kind.ORGANIZATION:
        nature = _nature(kind, source=region_row, copy=control_row)
    else:
        nature = _nature(kind, source=ours, copy=region_row)
    in_flight = (
        any(subject in look.waiting for look in (before, region, after)) or before.rows.get(subject) != control_row
    )
    return Judgement(
        Verdict.PENDING if in_flight else Verdict.DIFFERENT,
        nature,
        repair_of(kind, nature),
        "" if control_row is None else control_row.shown,
        "" if region_row is None else region_row.shown,
    )


def repair_of(kind: Kind, nature: Nature) -> Repair:
    """What may be done. Nothing where the copy is newer or control names another owner: that is a person's decision."""
    if kind is Kind.SLUG:
        return Repair.APPLY if nature is Nature.CONTENT else Repair.NONE
    if nature in (Nature.MISSING, Nature.OLDER, Nature.CONTENT):
        return Repair.RESEND
    if nature is Nature.GONE and kind is Kind.TOKEN:
        return Repair.REMOVE
    return Repair.RESEND if nature is Nature.GONE and kind is Kind.ORGANIZATION else Repair.NONE


def repairs_itself(difference: Difference, mode: RepairMode, now: datetime) -> bool:
    """Whether a difference is repaired without anybody's asking."""
    if difference.state is not State.DIFFERENT or difference.repair is Repair.NONE:
        return False
    waits = REPAIR_AGAIN_AFTER * 2 ** min(max(difference.repair_count - 1, 0), _DOUBLINGS_MAX)
    if difference.repaired_at is not None and now - difference.repaired_at < waits:
        return False
    resends = difference.repair is Repair.RESEND and difference.nature in (Nature.MISSING, Nature.OLDER)
    return mode is RepairMode.ALL or (mode is RepairMode.LATEST and resends)


def _nature(kind: Kind, *, source: Row | None, copy: Row | None) -> Nature:
    if source is None:
        return Nature.GONE
    if copy is None:
        return Nature.MISSING
    if kind is Kind.SLUG or source.version == copy.version:
        return Nature.CONTENT
    return Nature.OLDER if copy.version < source.version else Nature.NEWER
