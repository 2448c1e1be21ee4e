"""RegionOrganizationService on the wire, with members and teams: messages in and out, nothing decided here."""

from functools import partial

import grpc
from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from region_silo.members import messages
from region_silo.members.teams import TeamUseCases
from region_silo.members.usecases import MemberUseCases
from region_silo.organizations import servicer as organizations
from region_silo.organizations.usecases import OrganizationUseCases
from shared import names
from shared.errors import InvalidArgument
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.region.v1.RegionOrganizationService"
_READS = {"GetMember": ("name",), "ListMembers": ("parent",), "GetTeam": ("name",), "ListTeams": ("parent",)}
_MUTATIONS = {
    "AddMember": ("parent",),
    "UpdateMember": ("member.name",),
    "RemoveMember": ("name",),
    "CreateTeam": ("parent",),
    "DeleteTeam": ("name",),
    "AddTeamMember": ("team", "member"),
    "RemoveTeamMember": ("team", "member"),
    "GrantProjectTeam": ("team", "project"),
    "RevokeProjectTeam": ("team", "project"),
}

METHODS: tuple[Method, ...] = (
    *(
        Method(f"{_SERVICE}/{name}", Door.PUBLIC, ("org:read",), whose=Whose.ORGANIZATION, names=names_of)
        for name, names_of in _READS.items()
    ),
    *(
        Method(
            f"{_SERVICE}/{name}",
            Door.PUBLIC,
            ("org:admin",),
            mutating=True,
            whose=Whose.ORGANIZATION,
            names=names_of,
        )
        for name, names_of in _MUTATIONS.items()
    ),
)


class RegionOrganizationServicer(organizations.OrganizationReads):
    """Serves the region's own rows of organizations, with their members and teams."""

    def __init__(self, usecases: OrganizationUseCases, members: MemberUseCases, teams: TeamUseCases) -> None:
        super().__init__(usecases)
        self._members = members
        self._teams = teams

    def AddMember(
        self, request: organization_pb.AddMemberRequest, context: grpc.ServicerContext
    ) -> organization_pb.Member:
        del context
        parent = names.parse_organization(request.parent, "parent")
        draft = messages.member_draft(request.member)
        return messages.member_message(self._members.add_member(parent, draft, partial(mutation, request)))

    def GetMember(
        self, request: organization_pb.GetMemberRequest, context: grpc.ServicerContext
    ) -> organization_pb.Member:
        del context
        return messages.member_message(self._members.get_member(names.parse_member(request.name, "name")))

    def ListMembers(
        self, request: organization_pb.ListMembersRequest, context: grpc.ServicerContext
    ) -> organization_pb.ListMembersResponse:
        del context
        parent = names.parse_organization(request.parent, "parent")
        page, next_page_token = self._members.list_members(parent, request.team, request.page_size, request.page_token)
        return organization_pb.ListMembersResponse(
            members=[messages.member_message(member) for member in page], next_page_token=next_page_token
        )

    def UpdateMember(
        self, request: organization_pb.UpdateMemberRequest, context: grpc.ServicerContext
    ) -> organization_pb.Member:
        del context
        name = names.parse_member(request.member.name, "member.name")
        role, mask = messages.role_of(request.member.role), request.update_mask.paths
        return messages.member_message(self._members.change_role(name, role, mask, partial(mutation, request)))

    def RemoveMember(
        self, request: organization_pb.RemoveMemberRequest, context: grpc.ServicerContext
    ) -> organization_pb.RemoveMemberResponse:
        del context
        removed = self._members.remove_member(names.parse_member(request.name, "name"), partial(mutation, request))
        return organization_pb.RemoveMemberResponse(name=removed.name)

    def CreateTeam(
        self, request: organization_pb.CreateTeamRequest, context: grpc.ServicerContext
    ) -> organization_pb.Team:
        del context
        parent = names.parse_organization(request.parent, "parent")
        draft = messages.team_draft(request.team)
        return messages.team_message(self._teams.create_team(parent, draft, partial(mutation, request)))

    def GetTeam(self, request: organization_pb.GetTeamRequest, context: grpc.ServicerContext) -> organization_pb.Team:
        del context
        return messages.team_message(self._teams.get_team(names.parse_team(request.name, "name")))

    def ListTeams(
        self, request: organization_pb.ListTeamsRequest, context: grpc.ServicerContext
    ) -> organization_pb.ListTeamsResponse:
        del context
        parent = names.parse_organization(request.parent, "parent")
        page, next_page_token = self._teams.list_teams(parent, request.page_size, request.page_token)
        return organization_pb.ListTeamsResponse(
            teams=[messages.team_message(team) for team in page], next_page_token=next_page_token
        )

    def DeleteTeam(
        self, request: organization_pb.DeleteTeamRequest, context: grpc.ServicerContext
    ) -> organization_pb.DeleteTeamResponse:
        del context
        name = names.parse_team(request.name, "name")
        if not isinstance(name.team, int):
            raise InvalidArgument.of("name", "must read organizations/{id or slug}/teams/{id}")
        removed = self._teams.delete_team(name.organization, name.team, partial(mutation, request))
        return organization_pb.DeleteTeamResponse(name=removed.name)

    def AddTeamMember(
        self, request: organization_pb.AddTeamMemberRequest, context: grpc.ServicerContext
    ) -> organization_pb.Team:
        del context
        team, member = names.parse_team(request.team, "team"), names.parse_member(request.member, "member")
        return messages.team_message(self._teams.add_team_member(team, member, partial(mutation, request)))

    def RemoveTeamMember(
        self, request: organization_pb.RemoveTeamMemberRequest, context: grpc.ServicerContext
    ) -> organization_pb.Team:
        del context
        team, member = names.parse_team(request.team, "team"), names.parse_member(request.member, "member")
        return messages.team_message(self._teams.remove_team_member(team, member, partial(mutation, request)))

    def GrantProjectTeam(
        self, request: organization_pb.GrantProjectTeamRequest, context: grpc.ServicerContext
    ) -> organization_pb.Team:
        del context
        project, team = names.parse_project(request.project, "project"), names.parse_team(request.team, "team")
        return messages.team_message(self._teams.grant_project(team, project, partial(mutation, request)))

    def RevokeProjectTeam(
        self, request: organization_pb.RevokeProjectTeamRequest, context: grpc.ServicerContext
    ) -> organization_pb.Team:
        del context
        project, team = names.parse_project(request.project, "project"), names.parse_team(request.team, "team")
        return messages.team_message(self._teams.revoke_project(team, project, partial(mutation, request)))
