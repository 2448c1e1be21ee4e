"""`siloway issues`: problems of projects, and how releases end them."""

from typing import Annotated, TypeVar

import typer
from siloway.region.v1 import issue_service_pb2 as issue_pb

from siloway_client import output
from siloway_client.options import FirstRegion, Json, Organization, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Issues of projects, and how releases resolve them.")

T = TypeVar("T")
State = issue_pb.Issue.State
Type = issue_pb.Resolution.Type
Action = issue_pb.RemoveIssueFromInboxRequest.Action
IssueKey = Annotated[str, typer.Argument(metavar="ISSUE", help="The issue's id or short id, for example WEB-1A.")]
Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's id or slug.")]

_STATES = {"unresolved": State.STATE_UNRESOLVED, "resolved": State.STATE_RESOLVED, "ignored": State.STATE_IGNORED}
_ACTIONS = {
    "none": Action.ACTION_UNSPECIFIED,
    "mark-reviewed": Action.ACTION_MARK_REVIEWED,
    "resolved": Action.ACTION_RESOLVED,
}


@app.command()
def create(
    context: typer.Context,
    organization: Organization,
    project: Project,
    title: Annotated[str, typer.Argument(help="What it is about.")],
    first_release: Annotated[str, typer.Option(help="The version that it was first seen in.")] = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make an issue; it waits in the inbox."""
    issue = issue_pb.Issue(title=title)
    if first_release:
        issue.first_release = f"organizations/{organization}/releases/{first_release}"
    request = issue_pb.CreateIssueRequest(
        parent=f"organizations/{organization}/projects/{project}", issue=issue, request_id=request_id_of(request_id)
    )
    with session(context).targets().router(region) as router:
        made = router.call(organization, lambda client: client.issues.CreateIssue(request))
    _show(made, json_output=json_output)


@app.command()
def get(
    context: typer.Context,
    organization: Organization,
    issue: IssueKey,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """Show an issue with what it is linked with."""
    request = issue_pb.GetIssueRequest(name=_name(organization, issue))
    with session(context).targets().router(region) as router:
        found = router.call(organization, lambda client: client.issues.GetIssue(request))
    _show(found, json_output=json_output)


@app.command("list")
def list_issues(
    context: typer.Context,
    organization: Organization,
    project: Annotated[str, typer.Option(help="Only issues of this project.")] = "",
    state: Annotated[str | None, typer.Option(help="unresolved, resolved or ignored.")] = None,
    inbox: Annotated[bool, typer.Option("--inbox", help="Only those in the inbox.")] = False,
    resolved_in: Annotated[str, typer.Option(help="Only those that the release of this version resolved.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List issues, newest first."""
    request = issue_pb.ListIssuesRequest(
        parent=f"organizations/{organization}",
        page_size=limit,
        project=project,
        state=_choice("--state", _STATES, state) if state is not None else State.STATE_UNSPECIFIED,
        inbox_only=inbox,
        resolved_in_release=f"organizations/{organization}/releases/{resolved_in}" if resolved_in else "",
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.issues.ListIssues(request))
    if json_output:
        output.as_json(answer.issues)
    else:
        rows = [
            (i.short_id, _state(i), "inbox" if i.in_inbox else "", output.when(i.first_seen_time), i.title[:60])
            for i in answer.issues
        ]
        output.table(("issue", "state", "", "first seen", "title"), rows)


@app.command()
def resolve(
    context: typer.Context,
    organization: Organization,
    issue: IssueKey,
    in_release: Annotated[str, typer.Option(help="The version that it is resolved in.")] = "",
    in_next_release: Annotated[
        bool, typer.Option("--in-next-release", help="In the one after the project's newest.")
    ] = False,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Resolve an issue: now, in a release, or in the next one of its project."""
    if in_release and in_next_release:
        raise typer.BadParameter("give --in-release or --in-next-release, not both")
    type_ = Type.TYPE_UNSPECIFIED
    if in_release or in_next_release:
        type_ = Type.TYPE_IN_RELEASE if in_release else Type.TYPE_IN_NEXT_RELEASE
    request = issue_pb.ResolveIssueRequest(
        name=_name(organization, issue), type=type_, version=in_release, request_id=request_id_of(request_id)
    )
    with session(context).targets().router(region) as router:
        done = router.call(organization, lambda client: client.issues.ResolveIssue(request))
    _show(done, json_output=json_output)


@app.command()
def reopen(
    context: typer.Context,
    organization: Organization,
    issue: IssueKey,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make an issue unresolved again."""
    request = issue_pb.ReopenIssueRequest(name=_name(organization, issue), request_id=request_id_of(request_id))
    with session(context).targets().router(region) as router:
        done = router.call(organization, lambda client: client.issues.ReopenIssue(request))
    _show(done, json_output=json_output)


@app.command("inbox-remove")
def remove_from_inbox(
    context: typer.Context,
    organization: Organization,
    issue: IssueKey,
    action: Annotated[str, typer.Option(help="Why: none, mark-reviewed or resolved.")] = "none",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Take an issue out of the inbox; one that is not there stays as it is."""
    request = issue_pb.RemoveIssueFromInboxRequest(
        name=_name(organization, issue),
        action=_choice("--action", _ACTIONS, action),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        done = router.call(organization, lambda client: client.issues.RemoveIssueFromInbox(request))
    _show(done, json_output=json_output)


def _show(issue: issue_pb.Issue, *, json_output: bool) -> None:
    if json_output:
        output.as_json(issue)
        return
    output.say(f"{issue.short_id}: {_state(issue)}{', in the inbox' if issue.in_inbox else ''}: {issue.title}")
    output.say(f"  name: {issue.name}")
    if issue.HasField("resolution"):
        how = "the one after " if issue.resolution.type == Type.TYPE_IN_NEXT_RELEASE else ""
        output.say(f"  resolved in: {how}{issue.resolution.release.split('/', 3)[-1]}")
    for link in issue.links:
        output.say(f"  {'resolved by' if link.resolves else 'linked with'} {link.source} {link.key}")


def _state(issue: issue_pb.Issue) -> str:
    return State.Name(issue.state).removeprefix("STATE_").lower()


def _choice(option: str, choices: dict[str, T], text: str) -> T:
    if text not in choices:
        raise typer.BadParameter(f"{option} must be one of {', '.join(choices)}, not {text!r}")
    return choices[text]


def _name(organization: str, issue: str) -> str:
    return f"organizations/{organization}/issues/{issue}"
