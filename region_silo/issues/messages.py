"""Issues between their messages and their domain's values; a time that no calendar has is a broken field."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import issue_service_pb2 as issue_pb

from region_silo.issues.domain import (
    ActivityType,
    InboxAction,
    Issue,
    IssueActivity,
    IssueDraft,
    IssueState,
    LinkType,
    Resolution,
    ResolutionType,
)
from shared import names
from shared.errors import InvalidArgument

_STATES = {
    IssueState.UNRESOLVED: issue_pb.Issue.STATE_UNRESOLVED,
    IssueState.RESOLVED: issue_pb.Issue.STATE_RESOLVED,
    IssueState.IGNORED: issue_pb.Issue.STATE_IGNORED,
}
_STATES_READ: dict[int, IssueState] = {message: state for state, message in _STATES.items()}
_TYPES = {
    ResolutionType.IN_RELEASE: issue_pb.Resolution.TYPE_IN_RELEASE,
    ResolutionType.IN_NEXT_RELEASE: issue_pb.Resolution.TYPE_IN_NEXT_RELEASE,
}
_TYPES_READ: dict[int, ResolutionType] = {message: type_ for type_, message in _TYPES.items()}
_LINKS = {
    LinkType.COMMIT: issue_pb.IssueLink.TYPE_COMMIT,
    LinkType.PULL_REQUEST: issue_pb.IssueLink.TYPE_PULL_REQUEST,
    LinkType.TRACKER_ISSUE: issue_pb.IssueLink.TYPE_TRACKER_ISSUE,
}
_ACTIONS: dict[int, InboxAction] = {
    issue_pb.RemoveIssueFromInboxRequest.ACTION_UNSPECIFIED: InboxAction.NONE,
    issue_pb.RemoveIssueFromInboxRequest.ACTION_MARK_REVIEWED: InboxAction.MARK_REVIEWED,
    issue_pb.RemoveIssueFromInboxRequest.ACTION_RESOLVED: InboxAction.RESOLVED,
}
_ACTIVITIES = {
    ActivityType.SET_RESOLVED: issue_pb.IssueActivity.TYPE_SET_RESOLVED,
    ActivityType.SET_UNRESOLVED: issue_pb.IssueActivity.TYPE_SET_UNRESOLVED,
    ActivityType.SET_RESOLVED_IN_RELEASE: issue_pb.IssueActivity.TYPE_SET_RESOLVED_IN_RELEASE,
    ActivityType.SET_RESOLVED_IN_COMMIT: issue_pb.IssueActivity.TYPE_SET_RESOLVED_IN_COMMIT,
    ActivityType.SET_RESOLVED_IN_PULL_REQUEST: issue_pb.IssueActivity.TYPE_SET_RESOLVED_IN_PULL_REQUEST,
    ActivityType.MARK_REVIEWED: issue_pb.IssueActivity.TYPE_MARK_REVIEWED,
    ActivityType.REFERENCED_IN_COMMIT: issue_pb.IssueActivity.TYPE_REFERENCED_IN_COMMIT,
}


def state_of(state: int) -> IssueState | None:
    """The state, None when it is not given."""
    return _STATES_READ.get(state)


def resolution_type_of(type_: int) -> ResolutionType | None:
    """The type, None when it is not given."""
    return _TYPES_READ.get(type_)


def action_of(action: int) -> InboxAction:
    """The action of a request that was found well-formed."""
    return _ACTIONS[action]


def draft_of(message: issue_pb.Issue) -> IssueDraft:
    """What a client may say of a new issue. Raises InvalidArgument of `issue.first_release` and the times."""
    first_release = ""
    if message.first_release:
        first_release = names.parse_release(message.first_release, "issue.first_release").version
    return IssueDraft(
        title=message.title,
        first_release=first_release,
        first_seen_time=_time(message, "first_seen_time"),
        last_seen_time=_time(message, "last_seen_time"),
    )


def issue_message(issue: Issue) -> issue_pb.Issue:
    """The issue as an answer."""
    message = issue_pb.Issue(
        name=names.issue_name(issue.organization_id, issue.id),
        short_id=issue.short_id,
        project=names.project_name(issue.organization_id, issue.project_id),
        title=issue.title,
        state=_STATES[issue.state],
        in_inbox=issue.in_inbox,
        links=[
            issue_pb.IssueLink(type=_LINKS[link.type], key=link.key, source=link.source, resolves=link.resolves)
            for link in issue.links
        ],
    )
    if issue.first_release:
        message.first_release = names.release_name(issue.organization_id, issue.first_release)
    message.first_seen_time.FromDatetime(issue.first_seen_time)
    message.last_seen_time.FromDatetime(issue.last_seen_time)
    if issue.resolve_time is not None:
        message.resolve_time.FromDatetime(issue.resolve_time)
    if issue.resolution is not None:
        message.resolution.CopyFrom(_resolution_message(issue.organization_id, issue.resolution))
    return message


def activity_message(activity: IssueActivity) -> issue_pb.IssueActivity:
    """The activity as an answer."""
    message = issue_pb.IssueActivity(type=_ACTIVITIES[activity.type], user=_user(activity.user_id), data=activity.data)
    message.create_time.FromDatetime(activity.create_time)
    return message


def _resolution_message(organization_id: int, resolution: Resolution) -> issue_pb.Resolution:
    message = issue_pb.Resolution(
        release=names.release_name(organization_id, resolution.version),
        type=_TYPES[resolution.type],
        pending=resolution.pending,
        actor=_user(resolution.actor_id),
    )
    message.create_time.FromDatetime(resolution.create_time)
    return message


def _user(user_id: int | None) -> str:
    return "" if user_id is None else f"users/{user_id}"


def _time(message: issue_pb.Issue, field: str) -> datetime | None:
    """To the microsecond, as PostgreSQL keeps it."""
    if not message.HasField(field):  # type: ignore[arg-type]  # one of two names
        return None
    timestamp: Timestamp = getattr(message, field)
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise InvalidArgument.of(f"issue.{field}", "must be a time between the years 1 and 9999") from exc
