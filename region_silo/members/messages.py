"""Members and teams between their messages and their domain's values."""

from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from region_silo.members.domain import Member, MemberDraft, MemberState, Role, Team, TeamDraft
from shared import names
from shared.errors import InvalidArgument

_ROLES = {
    Role.OWNER: organization_pb.Member.ROLE_OWNER,
    Role.MANAGER: organization_pb.Member.ROLE_MANAGER,
    Role.ADMIN: organization_pb.Member.ROLE_ADMIN,
    Role.MEMBER: organization_pb.Member.ROLE_MEMBER,
}
_ROLES_READ: dict[int, Role] = {message: role for role, message in _ROLES.items()}
_STATES = {
    MemberState.ACTIVE: organization_pb.Member.STATE_ACTIVE,
    MemberState.INVITED: organization_pb.Member.STATE_INVITED,
    MemberState.UNCONFIRMED: organization_pb.Member.STATE_UNCONFIRMED,
    MemberState.INACTIVE: organization_pb.Member.STATE_INACTIVE,
}
_USERS = "users/"


def role_of(role: int) -> Role | None:
    """The role, None when it is not given."""
    return _ROLES_READ.get(role)


def member_draft(message: organization_pb.Member) -> MemberDraft:
    """What a client wishes; the shape of `user` is checked before."""
    user_id = names.parse_key(message.user.removeprefix(_USERS)) if message.user else None
    if user_id is not None and not isinstance(user_id, int):
        raise InvalidArgument.of("member.user", "must read users/{id}")
    return MemberDraft(role_of(message.role), user_id, message.email)


def member_message(member: Member) -> organization_pb.Member:
    """The member as an answer."""
    is_user = member.user_id is not None
    message = organization_pb.Member(
        name=names.member_name(member.organization_id, member.id),
        uid=str(member.id),
        user=f"{_USERS}{member.user_id}" if is_user else "",
        email=member.email,
        role=organization_pb.Member.ROLE_UNSPECIFIED if member.role is None else _ROLES[member.role],
        state=_STATES[member.state],
    )
    message.create_time.FromDatetime(member.date_added)
    return message


def team_draft(message: organization_pb.Team) -> TeamDraft:
    """What a client wishes."""
    return TeamDraft(name=message.display_name, slug=message.slug)


def team_message(team: Team) -> organization_pb.Team:
    """The team as an answer."""
    message = organization_pb.Team(
        name=names.team_name(team.organization_id, team.id),
        uid=str(team.id),
        slug=team.slug,
        display_name=team.name,
        member_count=team.member_count,
        projects=[names.project_name(team.organization_id, project_id) for project_id in team.project_ids],
    )
    message.create_time.FromDatetime(team.date_added)
    return message
