"""`siloway members`: who belongs to an organization, and as what."""

from enum import Enum
from typing import Annotated

import typer
from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from siloway_client import output
from siloway_client.options import FirstRegion, Json, Organization, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Members of an organization.")

MemberId = Annotated[str, typer.Argument(metavar="MEMBER", help="The member's id, from `siloway members list`.")]
_Member = organization_pb.Member


class Role(Enum):
    """The roles that can be given."""

    OWNER = "owner"
    MANAGER = "manager"
    ADMIN = "admin"
    MEMBER = "member"

    @property
    def value_on_wire(self) -> organization_pb.Member.Role.ValueType:
        return _Member.Role.Value(f"ROLE_{self.name}")


@app.command("list")
def list_members(
    context: typer.Context,
    organization: Organization,
    team: Annotated[str, typer.Option(help="Only members of this team, by id or slug.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List members by id."""
    request = organization_pb.ListMembersRequest(parent=f"organizations/{organization}", page_size=limit, team=team)
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.organizations.ListMembers(request))
    if json_output:
        output.as_json(answer.members)
    else:
        rows = [
            (m.uid, m.user or m.email, role_word(m), _word(_Member.State.Name(m.state)), output.when(m.create_time))
            for m in answer.members
        ]
        output.table(("id", "who", "role", "state", "added"), rows)


@app.command()
def add(
    context: typer.Context,
    organization: Organization,
    user: Annotated[str, typer.Option(help="A user's id.")] = "",
    email: Annotated[str, typer.Option(help="An address to invite.")] = "",
    role: Annotated[Role, typer.Option(help="What the member may do.")] = Role.MEMBER,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Add a user, or invite an address."""
    if bool(user) == bool(email):
        raise typer.BadParameter("give either --user or --email")
    member = _Member(user=f"users/{user.removeprefix('users/')}" if user else "", email=email, role=role.value_on_wire)
    request = organization_pb.AddMemberRequest(
        parent=f"organizations/{organization}", member=member, request_id=request_id_of(request_id)
    )
    with session(context).targets().router(region) as router:
        _show(
            router.call(organization, lambda client: client.organizations.AddMember(request)), json_output=json_output
        )


@app.command("role")
def change_role(
    context: typer.Context,
    organization: Organization,
    member: MemberId,
    role: Annotated[Role, typer.Argument(help="What the member may do from now on.")],
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Give a member another role. The last owner stays one."""
    request = organization_pb.UpdateMemberRequest(
        member=_Member(name=member_name(organization, member), role=role.value_on_wire),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        _show(
            router.call(organization, lambda client: client.organizations.UpdateMember(request)),
            json_output=json_output,
        )


@app.command()
def remove(
    context: typer.Context,
    organization: Organization,
    member: MemberId,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Remove a member from the organization and its teams. The last owner stays."""
    request = organization_pb.RemoveMemberRequest(
        name=member_name(organization, member), request_id=request_id_of(request_id)
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.organizations.RemoveMember(request))
    if json_output:
        output.as_json(answer)
    else:
        output.say(f"{answer.name} removed")


def member_name(organization: str, member: str) -> str:
    """The resource name of a member by id."""
    return f"organizations/{organization}/members/{member}"


def role_word(member: organization_pb.Member) -> str:
    """The role as people say it."""
    return _word(_Member.Role.Name(member.role))


def _show(member: organization_pb.Member, *, json_output: bool) -> None:
    if json_output:
        output.as_json(member)
    else:
        output.say(f"{member.name}: {member.user or member.email}, {role_word(member)}")


def _word(name: str) -> str:
    word = name.partition("_")[2].lower()
    return "-" if word == "unspecified" else word
