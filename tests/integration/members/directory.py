"""Short ways to the calls about members and teams of organization 100, `acme`."""

from typing import Any

from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from tests.region_client import Client, new_id

Member = organization_pb.Member
ROLES: dict[str, Member.Role.ValueType] = {
    "owner": Member.ROLE_OWNER,
    "manager": Member.ROLE_MANAGER,
    "admin": Member.ROLE_ADMIN,
    "member": Member.ROLE_MEMBER,
    "": Member.ROLE_UNSPECIFIED,
}


class Directory:
    """The calls of one client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stub: Any = client.organization

    def add(
        self, user: int | None = None, role: str = "member", *, email: str = "", parent: str = "acme", rid: str = ""
    ) -> Member:
        member = Member(user=f"users/{user}" if user else "", email=email, role=ROLES[role])
        answer: Member = self.stub.AddMember(
            organization_pb.AddMemberRequest(
                parent=f"organizations/{parent}", member=member, request_id=rid or new_id()
            )
        )
        return answer

    def get(self, name: str) -> Member:
        answer: Member = self.stub.GetMember(organization_pb.GetMemberRequest(name=name))
        return answer

    def members(self, **page: Any) -> tuple[list[Member], str]:
        answer = self.stub.ListMembers(organization_pb.ListMembersRequest(parent="organizations/acme", **page))
        return list(answer.members), answer.next_page_token

    def role(self, name: str, role: str, *, mask: tuple[str, ...] = (), rid: str = "") -> Member:
        request = organization_pb.UpdateMemberRequest(
            member=Member(name=name, role=ROLES[role]), request_id=rid or new_id()
        )
        request.update_mask.paths.extend(mask)
        answer: Member = self.stub.UpdateMember(request)
        return answer

    def remove(self, name: str, *, rid: str = "") -> str:
        answer = self.stub.RemoveMember(
            organization_pb.RemoveMemberRequest(name=name, request_id=rid or new_id()), timeout=20
        )
        return str(answer.name)

    def team(self, name: str, slug: str = "", *, parent: str = "acme", rid: str = "") -> organization_pb.Team:
        team = organization_pb.Team(display_name=name, slug=slug)
        answer: organization_pb.Team = self.stub.CreateTeam(
            organization_pb.CreateTeamRequest(parent=f"organizations/{parent}", team=team, request_id=rid or new_id())
        )
        return answer

    def get_team(self, key: str, organization: str = "acme") -> organization_pb.Team:
        name = f"organizations/{organization}/teams/{key}"
        answer: organization_pb.Team = self.stub.GetTeam(organization_pb.GetTeamRequest(name=name))
        return answer

    def teams(self, **page: Any) -> tuple[list[organization_pb.Team], str]:
        answer = self.stub.ListTeams(organization_pb.ListTeamsRequest(parent="organizations/acme", **page))
        return list(answer.teams), answer.next_page_token

    def delete_team(self, key: str, *, rid: str = "") -> str:
        answer = self.stub.DeleteTeam(
            organization_pb.DeleteTeamRequest(name=f"organizations/acme/teams/{key}", request_id=rid or new_id())
        )
        return str(answer.name)

    def join(self, team: str, member: str, *, rid: str = "") -> organization_pb.Team:
        answer: organization_pb.Team = self.stub.AddTeamMember(
            organization_pb.AddTeamMemberRequest(
                team=f"organizations/acme/teams/{team}", member=member, request_id=rid or new_id()
            )
        )
        return answer

    def leave(self, team: str, member: str, *, rid: str = "") -> organization_pb.Team:
        answer: organization_pb.Team = self.stub.RemoveTeamMember(
            organization_pb.RemoveTeamMemberRequest(
                team=f"organizations/acme/teams/{team}", member=member, request_id=rid or new_id()
            )
        )
        return answer

    def grant(self, team: str, project: str, *, organization: str = "acme", rid: str = "") -> organization_pb.Team:
        answer: organization_pb.Team = self.stub.GrantProjectTeam(
            organization_pb.GrantProjectTeamRequest(
                project=f"organizations/{organization}/projects/{project}",
                team=f"organizations/acme/teams/{team}",
                request_id=rid or new_id(),
            )
        )
        return answer

    def revoke(self, team: str, project: str, *, rid: str = "") -> organization_pb.Team:
        answer: organization_pb.Team = self.stub.RevokeProjectTeam(
            organization_pb.RevokeProjectTeamRequest(
                project=f"organizations/acme/projects/{project}",
                team=f"organizations/acme/teams/{team}",
                request_id=rid or new_id(),
            )
        )
        return answer
