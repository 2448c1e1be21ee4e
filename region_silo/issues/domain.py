"""What an issue is, how it ends, and what a client may ask for.

A release has to do with an issue's end in one way at a time: it was resolved in that one, or waits for the one after.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from region_silo.issues.mentions import ShortId
from shared.errors import Violation, refuse


class IssueState(IntEnum):
    """How things stand; the numbers stand in the rows, and 3 to 5 are of issues that nobody sees any more."""

    UNRESOLVED = 0
    RESOLVED = 1
    IGNORED = 2


class ResolutionType(IntEnum):
    """In which release an issue is resolved; the numbers stand in the rows."""

    IN_RELEASE = 0
    IN_NEXT_RELEASE = 1


class InboxAction(IntEnum):
    """Why an issue leaves the inbox."""

    NONE = 0
    MARK_REVIEWED = 1
    RESOLVED = 2


class ActivityType(IntEnum):
    """What happened to an issue; the numbers stand in the rows."""

    SET_RESOLVED = 1
    SET_UNRESOLVED = 2
    SET_RESOLVED_IN_RELEASE = 13
    SET_RESOLVED_IN_COMMIT = 16
    SET_RESOLVED_IN_PULL_REQUEST = 21
    MARK_REVIEWED = 23
    REFERENCED_IN_COMMIT = 28


class LinkType(IntEnum):
    """What an issue is linked with; the numbers stand in the rows."""

    COMMIT = 1
    PULL_REQUEST = 2
    TRACKER_ISSUE = 3


@dataclass(frozen=True)
class Resolution:
    """How a release has to do with an issue's end; `actor_id` None is nobody in person."""

    version: str
    type: ResolutionType
    pending: bool
    actor_id: int | None
    create_time: datetime


@dataclass(frozen=True)
class IssueLink:
    """What an issue is linked with: its key, and the repository's or the integration's name."""

    type: LinkType
    key: str
    source: str
    resolves: bool


@dataclass(frozen=True)
class Issue:
    """An issue as it is shown; `first_release` is a version, empty for none; lists leave `links` out."""

    id: int
    organization_id: int
    project_id: int
    short_id: str
    title: str
    state: IssueState
    resolve_time: datetime | None
    resolution: Resolution | None
    in_inbox: bool
    first_release: str
    first_seen_time: datetime
    last_seen_time: datetime
    links: tuple[IssueLink, ...] = ()


@dataclass(frozen=True)
class IssueDraft:
    """An issue as a client wishes it; times that are None are those of the call, an empty version is no release."""

    title: str
    first_release: str = ""
    first_seen_time: datetime | None = None
    last_seen_time: datetime | None = None


@dataclass(frozen=True)
class TrackerIssue:
    """An issue of a tracker outside, which an integration keeps in step."""

    integration: str
    key: str
    title: str = ""
    url: str = ""


@dataclass(frozen=True)
class IssueActivity:
    """Something that happened to an issue; `user_id` None is nobody in person."""

    id: int
    type: ActivityType
    create_time: datetime
    user_id: int | None
    data: dict[str, str] = field(default_factory=dict)


IssueKey = int | ShortId
"""An id, or what people call the issue."""


def check_draft(draft: IssueDraft) -> None:
    """Raise InvalidArgument with one violation for each broken rule; lengths are checked where the message comes in."""
    violations = []
    if not draft.title.strip():
        violations.append(Violation("issue.title", "must not be blank"))
    first, last = draft.first_seen_time, draft.last_seen_time
    if first is not None and last is not None and last < first:
        violations.append(Violation("issue.last_seen_time", "must not be before first_seen_time"))
    refuse(violations)


def check_tracker_issue(tracker: TrackerIssue) -> None:
    """Raise InvalidArgument with one violation for each broken rule; lengths are checked where the message comes in."""
    texts = {"integration": tracker.integration, "key": tracker.key}
    violations = [Violation(name, "must not be blank") for name, text in texts.items() if not text.strip()]
    if tracker.url and not tracker.url.startswith(("http://", "https://")):
        violations.append(Violation("url", "must begin with http:// or https://"))
    refuse(violations)
