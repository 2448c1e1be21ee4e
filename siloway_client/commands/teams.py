"""`siloway teams`: groups of members, and the projects that they work on."""

from typing import Annotated

import typer
from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from siloway_client import output
from siloway_client.commands.members import MemberId, member_name
from siloway_client.options import FirstRegion, Json, Organization, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Teams of an organization and their projects.")

TeamKey = Annotated[str, typer.Argument(metavar="TEAM", help="The team's id or slug.")]
ProjectKey = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's id or slug.")]


@app.command()
def create(
    context: typer.Context,
    organization: Organization,
    name: Annotated[str, typer.Argument(help="The name that people read.")],
    slug: Annotated[str, typer.Option(help="The short name; made from the name by default.")] = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make a team."""
    request = organization_pb.CreateTeamRequest(
        parent=f"organizations/{organization}",
        team=organization_pb.Team(display_name=name, slug=slug),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        _show(
            router.call(organization, lambda client: client.organizations.CreateTeam(request)), json_output=json_output
        )


@app.command("list")
def list_teams(
    context: typer.Context,
    organization: Organization,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List teams by id."""
    request = organization_pb.ListTeamsRequest(parent=f"organizations/{organization}", page_size=limit)
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.organizations.ListTeams(request))
    if json_output:
        output.as_json(answer.teams)
    else:
        rows = [(t.uid, t.slug, t.display_name, t.member_count, output.when(t.create_time)) for t in answer.teams]
        output.table(("id", "slug", "name", "members", "created"), rows)


@app.command()
def get(
    context: typer.Context,
    organization: Organization,
    team: TeamKey,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """Show a team with its projects."""
    request = organization_pb.GetTeamRequest(name=_name(organization, team))
    with session(context).targets().router(region) as router:
        _show(router.call(organization, lambda client: client.organizations.GetTeam(request)), json_output=json_output)


@app.command()
def delete(
    context: typer.Context,
    organization: Organization,
    team: Annotated[str, typer.Argument(metavar="TEAM", help="The team's id; a slug is not taken here.")],
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Delete a team. Its members and projects stay."""
    request = organization_pb.DeleteTeamRequest(name=_name(organization, team), request_id=request_id_of(request_id))
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.organizations.DeleteTeam(request))
    if json_output:
        output.as_json(answer)
    else:
        output.say(f"{answer.name} deleted")


@app.command()
def add(
    context: typer.Context,
    organization: Organization,
    team: TeamKey,
    member: MemberId,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Put a member into a team."""
    request = organization_pb.AddTeamMemberRequest(
        team=_name(organization, team),
        member=member_name(organization, member),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        _show(
            router.call(organization, lambda client: client.organizations.AddTeamMember(request)),
            json_output=json_output,
        )


@app.command()
def remove(
    context: typer.Context,
    organization: Organization,
    team: TeamKey,
    member: MemberId,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Take a member out of a team."""
    request = organization_pb.RemoveTeamMemberRequest(
        team=_name(organization, team),
        member=member_name(organization, member),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        _show(
            router.call(organization, lambda client: client.organizations.RemoveTeamMember(request)),
            json_output=json_output,
        )


@app.command()
def grant(
    context: typer.Context,
    organization: Organization,
    team: TeamKey,
    project: ProjectKey,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Let a team work on a project."""
    request = organization_pb.GrantProjectTeamRequest(
        team=_name(organization, team),
        project=f"organizations/{organization}/projects/{project}",
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        _show(
            router.call(organization, lambda client: client.organizations.GrantProjectTeam(request)),
            json_output=json_output,
        )


@app.command()
def revoke(
    context: typer.Context,
    organization: Organization,
    team: TeamKey,
    project: ProjectKey,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """End a team's work on a project."""
    request = organization_pb.RevokeProjectTeamRequest(
        team=_name(organization, team),
        project=f"organizations/{organization}/projects/{project}",
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        _show(
            router.call(organization, lambda client: client.organizations.RevokeProjectTeam(request)),
            json_output=json_output,
        )


def _name(organization: str, team: str) -> str:
    return f"organizations/{organization}/teams/{team}"


def _show(team: organization_pb.Team, *, json_output: bool) -> None:
    if json_output:
        output.as_json(team)
        return
    projects = ", ".join(name.rpartition("/")[2] for name in team.projects) or "none"
    output.say(f"{team.name}: {team.slug}, {team.member_count} members, projects: {projects}")
