"""Control and two regions with their doctor's doors, whose databases can be restored from older copies."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import grpc
from siloway.control.v1 import organization_service_pb2_grpc as organization_rpc
from siloway.control.v1 import reconciliation_service_pb2_grpc as reconciliation_rpc
from siloway.control.v1 import recovery_service_pb2_grpc as recovery_rpc
from siloway.control.v1 import token_service_pb2_grpc as token_rpc

from control_silo.callbacks.registry import sending_registry
from control_silo.changes.waiting import ChangeWaiter
from control_silo.deletions.domain import Deletions
from control_silo.deletions.purging import Purger as ControlPurger
from control_silo.doctor.part import ControlPart
from control_silo.organizations import servicer as organizations
from control_silo.reconciliation import servicer as reconciliation
from control_silo.recovery import servicer as recovery
from control_silo.tokens import servicer as tokens
from control_silo.tokens import usecases as token_usecases
from control_silo.tokens.domain import NewToken
from control_silo.tokens.grants import TokenUseCases
from region_silo.callbacks import registry as region_callbacks
from region_silo.deletions.purging import Purger as RegionPurger
from region_silo.doctor.part import RegionPart
from region_silo.members.retelling import Retelling
from region_silo.tokens.usecases import authenticator as region_authenticator
from shared.database import Database
from shared.errors import PeerUnavailable
from shared.restoration import Restoration, check_place, restored_at
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from shared.silo import COMMON_METHODS, common_servicers
from shared.snowflake.allocator import SnowflakeAllocator
from siloway_client.client import ControlClient, RegionClient
from siloway_client.doctor.checking import Checker
from siloway_client.doctor.restoring import Done, Restorer
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, rows

NUMBERS = {"us": 1, "de": 2}


@dataclass
class World:
    """`urls` are the databases in use; `copy` makes a database that is a copy of another one's rows."""

    urls: dict[str, str]
    clock: FakeClock
    copy: Callable[[str], str]
    stack: ExitStack
    silos: Silos = field(init=False)
    secret: str = ""
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._databases: dict[str, Database] = {}
        self._begin()
        self.silos.register()
        self.secret = self.mint("operator", scopes=("silo:operate", "org:read", "org:admin"))
        self.drain()
        for database in self._databases.values():
            check_place(database)

    def database(self, silo: str) -> Database:
        return self._databases[silo]

    def mint(self, name: str, **fields: object) -> str:
        given: dict[str, object] = {"name": name, "audience": ("*",), "scopes": ("org:read",), **fields}
        allocator = SnowflakeAllocator(self.database("control"), clock=self.clock, number=0)
        _, secret = token_usecases.mint_token(self.database("control"), allocator, NewToken(**given))  # type: ignore[arg-type]
        return secret

    def drain(self) -> None:
        """Deliver until nothing moves any more, as `work` does: a closed silo sends and takes nothing."""
        self.clock.advance(31)
        closed = {name for name, database in self._databases.items() if database.read(restored_at) is not None}

        def refuse(target: str, _delivery: object) -> None:
            if target in closed:
                raise PeerUnavailable("closed")

        self.silos.transport.before = refuse
        open_silos = [name for name in self._databases if name not in closed]
        if open_silos:
            self.silos.drain(*open_silos)
            while sum(self._work(name) for name in open_silos):
                self.silos.drain(*open_silos)

    def _work(self, silo: str) -> bool:
        """What `work` does besides: deletions go on, members are told of again. Whether there was anything to do."""
        if silo == "control":
            return bool(ControlPurger(self._databases[silo], Deletions()).run_once())
        told = rows(self._databases[silo], "SELECT 1 FROM member_retelling")
        while Retelling(self._databases[silo], members_max=2).run_once():
            pass
        return bool(told) or bool(RegionPurger(self._databases[silo]).run_once())

    def back_up(self, silo: str) -> str:
        """A copy of a silo's rows as they are now."""
        self._databases[silo].close()
        return self.copy(self.urls[silo])

    def restore(self, silo: str, backup: str, *, notice: bool = True) -> None:
        """Put a copy in the place of a silo's database; its programs notice when they open it."""
        for database in self._databases.values():
            database.close()
        self.urls[silo] = backup
        self._begin()
        if notice:
            assert check_place(self.database(silo))
            self._begin()

    def door(self, silo: str) -> str:
        """The address of a silo's public door with what the doctor needs."""
        database = self._databases[silo]
        control = silo == "control"
        methods = [*COMMON_METHODS]
        sends = sending_registry() if control else region_callbacks.sending_registry()
        servicers = common_servicers(database, sends, ControlPart() if control else RegionPart())
        if control:
            allocator = SnowflakeAllocator(database, clock=self.clock, number=0)
            waiter = ChangeWaiter(database, self.urls[silo])
            self.stack.callback(waiter.close)
            methods += [*reconciliation.METHODS, *recovery.METHODS, *tokens.METHODS, *organizations.METHODS]
            servicers += [
                (
                    reconciliation_rpc.add_ReconciliationServiceServicer_to_server,
                    reconciliation.ReconciliationServicer(database),
                ),
                (recovery_rpc.add_RecoveryServiceServicer_to_server, recovery.RecoveryServicer(database, sends)),
                (
                    token_rpc.add_TokenServiceServicer_to_server,
                    tokens.TokenServicer(TokenUseCases(database, allocator)),
                ),
                (
                    organization_rpc.add_OrganizationServiceServicer_to_server,
                    organizations.OrganizationServicer(database, waiter),
                ),
            ]
        server = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*methods),
            door=Door.PUBLIC,
            servicers=servicers,
            authenticate=token_usecases.authenticator(database, self.clock)
            if control
            else region_authenticator(database, self.clock, silo),
            refuse_closed=Restoration(database, self.clock).refuse,
        )
        server.start()
        self.stack.callback(server.stop, 0)
        return f"127.0.0.1:{server.port}"

    def checker(self) -> Checker:
        control = self.stack.enter_context(ControlClient(self.door("control"), self.secret))
        regions = {name: self.stack.enter_context(RegionClient(self.door(name), self.secret)) for name in NUMBERS}
        return Checker(control, regions, self.drain)

    def run_doctor(self, silo: str) -> Done:
        """`siloway doctor --after-restore`, then everything is delivered."""
        done = Restorer(self.checker(), self.steps.append).restore(silo)
        self.drain()
        return done

    def findings(self) -> list[tuple[str, str, str]]:
        self.clock.advance(3600)
        self.drain()
        return [(each.silo, each.check, each.key) for each in self.checker().run().findings]

    def _begin(self) -> None:
        self._databases = {
            name: Database.open(url, clock=self.clock, application_name="test") for name, url in self.urls.items()
        }
        for database in self._databases.values():
            self.stack.callback(database.close)
        regions = {name: self._databases[name] for name in NUMBERS}
        self.silos = Silos(self._databases["control"], regions, self.clock, self.urls["control"])


def reason_of(error: grpc.RpcError) -> str:
    from tests.refusals import refusal_of

    return refusal_of(error).reason
