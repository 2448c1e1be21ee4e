"""Control with two regions, and control's public door with the services that every silo has."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest
from siloway.common.v1 import audit_service_pb2_grpc as audit_rpc
from siloway.common.v1 import outbox_service_pb2_grpc as outbox_rpc
from siloway.control.v1 import recovery_service_pb2_grpc as recovery_rpc

from control_silo.callbacks.registry import sending_registry
from control_silo.doctor.part import ControlPart
from control_silo.recovery import servicer as recovery
from control_silo.tokens import usecases as tokens
from control_silo.tokens.domain import NewToken
from region_silo.doctor.part import RegionPart
from shared.database import Database
from shared.outbox.registry import Registry
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from shared.silo import COMMON_METHODS, common_servicers
from shared.snowflake.allocator import SnowflakeAllocator
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, opened_silos
from tests.refusals import Refusal, refusal_of


class Client:
    """The operators' services of one silo, called with one token."""

    def __init__(self, channel: grpc.Channel, secret: str, address: str) -> None:
        self.secret = secret
        self.address = address
        self.outbox = outbox_rpc.OutboxServiceStub(channel)
        self.audit = audit_rpc.AuditServiceStub(channel)
        self.recovery = recovery_rpc.RecoveryServiceStub(channel)

    def call(self, method: Callable[..., object], request: object) -> object:
        return method(request, timeout=10, metadata=(("authorization", f"Bearer {self.secret}"),))

    def refused(self, method: Callable[..., object], request: object) -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request)
        return refusal_of(caught.value)


OpenDoor = Callable[[Database, Registry, Callable[[str], Caller], str], Client]


@pytest.fixture
def open_door() -> Iterator[OpenDoor]:
    """A public door of a silo with the common services and RecoveryService."""
    with ExitStack() as stack:

        def open_(database: Database, sends: Registry, authenticate: Callable[[str], Caller], secret: str) -> Client:
            server = build_server(
                address="127.0.0.1:0",
                table=MethodTable.of(*COMMON_METHODS, *recovery.METHODS),
                door=Door.PUBLIC,
                servicers=[
                    *common_servicers(database, sends, ControlPart() if sends.sends("token") else RegionPart()),
                    (
                        recovery_rpc.add_RecoveryServiceServicer_to_server,
                        recovery.RecoveryServicer(database, sends),
                    ),
                ],
                authenticate=authenticate,
            )
            server.start()
            stack.callback(server.stop, 0)
            address = f"127.0.0.1:{server.port}"
            return Client(stack.enter_context(grpc.insecure_channel(address)), secret, address)

        yield open_


@pytest.fixture
def silos(
    control_database_url: str, make_region_database: Callable[[str, int], str], clock: FakeClock
) -> Iterator[Silos]:
    with opened_silos(control_database_url, make_region_database, clock) as silos:
        yield silos


Mint = Callable[..., str]


@pytest.fixture
def mint(silos: Silos) -> Mint:
    """Mint a token of control's; returns its secret."""

    def minted(**given: object) -> str:
        fields: dict[str, object] = {"name": "operator", "audience": ("*",), "scopes": ("silo:operate",), **given}
        allocator = SnowflakeAllocator(silos.control, clock=silos.clock, number=0)
        return tokens.mint_token(silos.control, allocator, NewToken(**fields))[1]  # type: ignore[arg-type]

    return minted


@pytest.fixture
def client(silos: Silos, mint: Mint, open_door: OpenDoor) -> Client:
    """Control's public door, called by an operator."""
    authenticate = tokens.authenticator(silos.control, silos.clock)
    return open_door(silos.control, sending_registry(), authenticate, mint())
