"""UserService on the wire."""

from functools import partial

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import user_service_pb2 as user_pb
from siloway.control.v1 import user_service_pb2_grpc as user_rpc

from control_silo.memberships.domain import UserOrganization
from control_silo.users.domain import NewUser, User
from control_silo.users.usecases import UserUseCases
from shared.names import member_name, organization_name, parse_numbered
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.control.v1.UserService"
_SCOPES = ("silo:operate",)

METHODS = (
    Method(f"{_SERVICE}/CreateUser", Door.PUBLIC, _SCOPES, mutating=True),
    Method(f"{_SERVICE}/GetUser", Door.PUBLIC, _SCOPES),
    Method(f"{_SERVICE}/ListUsers", Door.PUBLIC, _SCOPES),
    Method(f"{_SERVICE}/SuspendUser", Door.PUBLIC, _SCOPES, mutating=True),
    Method(f"{_SERVICE}/UnsuspendUser", Door.PUBLIC, _SCOPES, mutating=True),
    Method(f"{_SERVICE}/ListUserOrganizations", Door.PUBLIC, (*_SCOPES, "org:read"), whose=Whose.CALLER),
)


class UserServicer(user_rpc.UserServiceServicer):
    """Serves control's users."""

    def __init__(self, usecases: UserUseCases) -> None:
        self._usecases = usecases

    def CreateUser(self, request: user_pb.CreateUserRequest, context: grpc.ServicerContext) -> user_pb.User:
        del context
        asked = request.user
        new = NewUser(asked.username, asked.display_name, asked.email)
        return _message(self._usecases.create_user(new, partial(mutation, request)))

    def GetUser(self, request: user_pb.GetUserRequest, context: grpc.ServicerContext) -> user_pb.User:
        del context
        return _message(self._usecases.get_user(parse_numbered(request.name, "users", "name")))

    def ListUsers(self, request: user_pb.ListUsersRequest, context: grpc.ServicerContext) -> user_pb.ListUsersResponse:
        del context
        page, token = self._usecases.list_users(
            page_size=request.page_size, token=request.page_token, username=request.username
        )
        return user_pb.ListUsersResponse(users=[_message(user) for user in page], next_page_token=token)

    def SuspendUser(self, request: user_pb.SuspendUserRequest, context: grpc.ServicerContext) -> user_pb.User:
        del context
        user_id = parse_numbered(request.name, "users", "name")
        return _message(self._usecases.set_suspended(user_id, partial(mutation, request), suspended=True))

    def UnsuspendUser(self, request: user_pb.UnsuspendUserRequest, context: grpc.ServicerContext) -> user_pb.User:
        del context
        user_id = parse_numbered(request.name, "users", "name")
        return _message(self._usecases.set_suspended(user_id, partial(mutation, request), suspended=False))

    def ListUserOrganizations(
        self, request: user_pb.ListUserOrganizationsRequest, context: grpc.ServicerContext
    ) -> user_pb.ListUserOrganizationsResponse:
        del context
        page, token = self._usecases.list_organizations(
            parse_numbered(request.parent, "users", "parent"), page_size=request.page_size, token=request.page_token
        )
        return user_pb.ListUserOrganizationsResponse(
            user_organizations=[_organization(each) for each in page], next_page_token=token
        )


def _organization(found: UserOrganization) -> user_pb.UserOrganization:
    return user_pb.UserOrganization(
        organization=organization_name(found.key.organization_id),
        slug=found.slug,
        region=found.region,
        region_address=found.region_address,
        member=member_name(found.key.organization_id, found.key.member_id),
        role=found.role,
    )


def _message(user: User) -> user_pb.User:
    create_time = Timestamp()
    create_time.FromDatetime(user.created_at)
    return user_pb.User(
        name=f"users/{user.id}",
        uid=str(user.id),
        username=user.username,
        display_name=user.name or user.username,
        email=user.email,
        state=user_pb.User.STATE_SUSPENDED if user.suspended else user_pb.User.STATE_ACTIVE,
        create_time=create_time,
    )
