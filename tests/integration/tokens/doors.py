"""The public doors of control and of two regions, with real tokens on real databases and all interceptors."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from siloway.control.v1 import region_service_pb2 as region_pb
from siloway.control.v1 import region_service_pb2_grpc as region_rpc
from siloway.control.v1 import token_service_pb2 as token_pb
from siloway.control.v1 import token_service_pb2_grpc as token_rpc
from siloway.control.v1 import user_service_pb2 as user_pb
from siloway.control.v1 import user_service_pb2_grpc as user_rpc
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import project_service_pb2_grpc as project_rpc
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb
from siloway.region.v1 import snowflake_service_pb2_grpc as snowflake_rpc

from control_silo.regions import servicer as regions
from control_silo.tokens import servicer as tokens
from control_silo.tokens import usecases
from control_silo.tokens.domain import NewToken
from control_silo.tokens.grants import TokenUseCases
from control_silo.users import servicer as users
from control_silo.users.usecases import UserUseCases
from region_silo.organizations.lookup import OrganizationLookup, organization_cache
from region_silo.projects import servicer as projects
from region_silo.projects.lookup import ProjectLookup, project_cache
from region_silo.projects.usecases import ProjectUseCases
from region_silo.snowflakes import servicer as snowflakes
from region_silo.tokens.confirmation import Confirmation
from region_silo.tokens.usecases import authenticator as region_authenticator
from shared.model_cache_gate import CacheGate
from shared.quota import Quotas
from shared.redis import RedisLink
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from shared.snowflake.allocator import SnowflakeAllocator
from shared.tokens import SCOPES, Token
from tests.integration.callbacks.silos import Silos
from tests.refusals import Refusal, refusal_of

NUMBERS = {"us": 1, "de": 2}


class Doors:
    """A public door of each silo of `silos`; `operator` is a secret with all scopes.

    `link` counts quotas; `confirmation_max_s` is how old control's confirmation may be in the regions.
    """

    def __init__(
        self, silos: Silos, stack: ExitStack, *, link: RedisLink | None = None, confirmation_max_s: float = 0
    ) -> None:
        self.silos = silos
        self._link = link
        self._confirmation_max_s = confirmation_max_s
        self._stops: dict[str, Callable[[], object]] = {}
        self._stack = stack
        self._allocator = SnowflakeAllocator(silos.control, clock=silos.clock, number=0)
        self._channels = {"control": self._open_control()}
        for name in silos.regions:
            self._channels[name] = self._open_region(name)
        self.tokens = token_rpc.TokenServiceStub(self._channels["control"])
        self.users = user_rpc.UserServiceStub(self._channels["control"])
        self.operator = self.minted(scopes=SCOPES)[1]
        silos.drain()

    def minted(self, **given: object) -> tuple[Token, str]:
        fields: dict[str, object] = {"name": "ci", "audience": ("*",), "scopes": ("org:read",), **given}
        new = NewToken(**fields)  # type: ignore[arg-type]
        return usecases.mint_token(self.silos.control, self._allocator, new)

    def call(self, method: Callable[..., Any], request: object, secret: str | None = None) -> Any:
        return method(request, timeout=20, metadata=(("authorization", f"Bearer {secret or self.operator}"),))

    def refused(self, method: Callable[..., Any], request: object, secret: str | None = None) -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request, secret)
        return refusal_of(caught.value)

    def answer(self, silo: str, secret: str) -> str:
        """OK or the reason, of a call that any of the silo's tokens with ids:generate may make."""
        try:
            if silo == "control":
                listing = region_rpc.RegionServiceStub(self._channels[silo]).ListRegions
                self.call(listing, region_pb.ListRegionsRequest(), secret)
            else:
                self.generate(silo, secret)
        except grpc.RpcError as error:
            return refusal_of(error).reason
        return "OK"

    def generate(self, silo: str, secret: str, count: int = 1) -> list[int]:
        generating = snowflake_rpc.SnowflakeServiceStub(self._channels[silo]).GenerateIds
        return list(self.call(generating, snowflake_pb.GenerateIdsRequest(count=count), secret).ids)

    def stop_control(self) -> None:
        """Control answers nobody and has no database any more."""
        self._stops["control"]()
        self.silos.control.close()

    def projects(self, silo: str) -> Any:
        return project_rpc.ProjectServiceStub(self._channels[silo])

    def create_token(self, secret: str | None = None, *, request_id: str = "", **given: object) -> token_pb.Token:
        made: token_pb.Token = self.call(self.tokens.CreateToken, token_request(request_id=request_id, **given), secret)
        return made

    def create_user(self, username: str = "ada", **given: str) -> user_pb.User:
        made: user_pb.User = self.call(self.users.CreateUser, user_request(username=username, **given))
        return made

    def _open_control(self) -> grpc.Channel:
        control = self.silos.control
        return self._open(
            [*regions.METHODS, *tokens.METHODS, *users.METHODS],
            [
                (region_rpc.add_RegionServiceServicer_to_server, regions.RegionServicer(control)),
                (
                    token_rpc.add_TokenServiceServicer_to_server,
                    tokens.TokenServicer(TokenUseCases(control, self._allocator)),
                ),
                (
                    user_rpc.add_UserServiceServicer_to_server,
                    users.UserServicer(UserUseCases(control, self._allocator)),
                ),
            ],
            usecases.authenticator(control, self.silos.clock),
            "control",
        )

    def _open_region(self, name: str) -> grpc.Channel:
        database, clock = self.silos.regions[name], self.silos.clock
        ids = SnowflakeAllocator(database, clock=clock, number=NUMBERS[name])
        gate = CacheGate(database, clock=clock)
        organizations = OrganizationLookup(organization_cache(database, None, gate, name), database)
        spend = Quotas(self._link, clock=clock, silo=name).spend_ids
        confirmation = Confirmation(database, clock, self._confirmation_max_s)
        lookup = ProjectLookup(database, project_cache(database, None, gate, name))
        return self._open(
            [*projects.METHODS, *snowflakes.METHODS],
            [
                (
                    project_rpc.add_ProjectServiceServicer_to_server,
                    projects.ProjectServicer(ProjectUseCases(database, ids, organizations, lookup)),
                ),
                (snowflake_rpc.add_SnowflakeServiceServicer_to_server, snowflakes.SnowflakeServicer(ids, spend)),
            ],
            region_authenticator(database, clock, name, confirmation.check),
            name,
        )

    def _open(self, methods: Any, servicers: Any, authenticate: Any, silo: str) -> grpc.Channel:
        server = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*methods),
            door=Door.PUBLIC,
            servicers=servicers,
            authenticate=authenticate,
            spend_call=Quotas(self._link, clock=self.silos.clock, silo=silo).spend_call,
        )
        server.start()
        self._stops[silo] = lambda: server.stop(0)
        self._stack.callback(server.stop, 0)
        return self._stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}"))


@contextmanager
def opened(silos: Silos, **settings: Any) -> Iterator[Doors]:
    with ExitStack() as stack:
        yield Doors(silos, stack, **settings)


def new_id() -> str:
    return str(uuid.uuid4())


def token_request(*, request_id: str = "", **given: Any) -> token_pb.CreateTokenRequest:
    """A request for a token named ci, for all silos, that reads organizations, unless told otherwise."""
    expires_at = given.pop("expires_at", None)
    fields = {"display_name": "ci", "audience": ["*"], "scopes": ["org:read"], **given}
    token = token_pb.Token(**fields)
    if expires_at is not None:
        token.expire_time.FromDatetime(expires_at)
    return token_pb.CreateTokenRequest(token=token, request_id=request_id or new_id())


def user_request(*, request_id: str = "", **given: Any) -> user_pb.CreateUserRequest:
    return user_pb.CreateUserRequest(user=user_pb.User(**given), request_id=request_id or new_id())


def project_request(organization: int, request_id: str = "") -> project_pb.CreateProjectRequest:
    return project_pb.CreateProjectRequest(
        parent=f"organizations/{organization}",
        project=project_pb.Project(display_name="web"),
        request_id=request_id or new_id(),
    )
