"""IssueService on the wire: messages in and out, nothing decided here."""

from functools import partial

import grpc
from siloway.region.v1 import issue_service_pb2 as issue_pb
from siloway.region.v1 import issue_service_pb2_grpc as issue_rpc

from region_silo.issues import messages
from region_silo.issues.domain import TrackerIssue
from region_silo.issues.usecases import IssueQuery, IssueUseCases
from shared import names
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.region.v1.IssueService"
_WRITE = ("project:write", "project:admin")
_READ = ("project:read", *_WRITE)


def _row(method: str, field: str, *, mutating: bool = False) -> Method:
    scopes = _WRITE if mutating else _READ
    return Method(
        f"{_SERVICE}/{method}", Door.PUBLIC, scopes, mutating=mutating, whose=Whose.ORGANIZATION, names=(field,)
    )


METHODS: tuple[Method, ...] = (
    _row("CreateIssue", "parent", mutating=True),
    _row("GetIssue", "name"),
    _row("ListIssues", "parent"),
    _row("ResolveIssue", "name", mutating=True),
    _row("ReopenIssue", "name", mutating=True),
    _row("RemoveIssueFromInbox", "name", mutating=True),
    _row("LinkTrackerIssue", "name", mutating=True),
    _row("ListIssueActivities", "parent"),
)


class IssueServicer(issue_rpc.IssueServiceServicer):
    """Serves the issues of this region's organizations."""

    def __init__(self, usecases: IssueUseCases) -> None:
        self._usecases = usecases

    def CreateIssue(self, request: issue_pb.CreateIssueRequest, context: grpc.ServicerContext) -> issue_pb.Issue:
        del context
        parent = names.parse_project(request.parent, "parent")
        made = self._usecases.create_issue(parent, messages.draft_of(request.issue), partial(mutation, request))
        return messages.issue_message(made)

    def GetIssue(self, request: issue_pb.GetIssueRequest, context: grpc.ServicerContext) -> issue_pb.Issue:
        del context
        return messages.issue_message(self._usecases.get_issue(names.parse_issue(request.name, "name")))

    def ListIssues(
        self, request: issue_pb.ListIssuesRequest, context: grpc.ServicerContext
    ) -> issue_pb.ListIssuesResponse:
        del context
        release = None
        if request.resolved_in_release:
            release = names.parse_release(request.resolved_in_release, "resolved_in_release")
        query = IssueQuery(request.project, messages.state_of(request.state), request.inbox_only, release)
        parent = names.parse_organization(request.parent, "parent")
        page, token = self._usecases.list_issues(parent, query, request.page_size, request.page_token)
        return issue_pb.ListIssuesResponse(
            issues=[messages.issue_message(issue) for issue in page], next_page_token=token
        )

    def ResolveIssue(self, request: issue_pb.ResolveIssueRequest, context: grpc.ServicerContext) -> issue_pb.Issue:
        del context
        name = names.parse_issue(request.name, "name")
        type_ = messages.resolution_type_of(request.type)
        identify = partial(mutation, request)
        return messages.issue_message(self._usecases.resolve_issue(name, type_, request.version, identify))

    def ReopenIssue(self, request: issue_pb.ReopenIssueRequest, context: grpc.ServicerContext) -> issue_pb.Issue:
        del context
        name = names.parse_issue(request.name, "name")
        return messages.issue_message(self._usecases.reopen_issue(name, partial(mutation, request)))

    def RemoveIssueFromInbox(
        self, request: issue_pb.RemoveIssueFromInboxRequest, context: grpc.ServicerContext
    ) -> issue_pb.Issue:
        del context
        name = names.parse_issue(request.name, "name")
        action = messages.action_of(request.action)
        return messages.issue_message(self._usecases.remove_from_inbox(name, action, partial(mutation, request)))

    def LinkTrackerIssue(
        self, request: issue_pb.LinkTrackerIssueRequest, context: grpc.ServicerContext
    ) -> issue_pb.Issue:
        del context
        name = names.parse_issue(request.name, "name")
        tracker = TrackerIssue(request.integration, request.key, request.title, request.url)
        return messages.issue_message(self._usecases.link_tracker_issue(name, tracker, partial(mutation, request)))

    def ListIssueActivities(
        self, request: issue_pb.ListIssueActivitiesRequest, context: grpc.ServicerContext
    ) -> issue_pb.ListIssueActivitiesResponse:
        del context
        name = names.parse_issue(request.parent, "parent")
        page, token = self._usecases.list_activities(name, request.page_size, request.page_token)
        return issue_pb.ListIssueActivitiesResponse(
            activities=[messages.activity_message(activity) for activity in page], next_page_token=token
        )
