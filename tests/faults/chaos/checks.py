"""What is watched while the chaos lasts, and what is asked of every request when it is over."""

import threading
from collections import Counter

import grpc
from siloway.control.v1 import organization_service_pb2 as organization_pb

from shared.database import Database
from shared.errors import ServiceError
from siloway_client.client import ControlClient
from siloway_client.refusal import refusal_of
from tests.faults.chaos.world import Asked, Change, World
from tests.invariants import check_end, check_quiet, check_while_running
from tests.stack import RunningStack, wait_until

QUIET_TIMEOUT_S = 180.0
"""Leases of killed drainers run 36 s, refused shards wait up to a minute."""

CONFIRMATIONS_MET_MAX = 5

_EVERY_S = 0.5

_OWNERS = """
    SELECT organization.id, count(*) FILTER (WHERE role = 'owner'), count(*)
    FROM organization LEFT JOIN organization_member ON organization_id = organization.id GROUP BY 1
"""


class Watcher(threading.Thread):
    """Checks the invariants again and again; a database that is away at that moment is left out."""

    def __init__(self, world: World, control: Database, regions: dict[str, Database]) -> None:
        super().__init__(name="watcher", daemon=True)
        self._world = world
        self._control = control
        self._regions = regions
        self._over = threading.Event()
        self.looks = 0

    def run(self) -> None:
        while not self._over.wait(_EVERY_S):
            try:
                check_while_running(self._control, self._regions)
                self.looks += 1
            except ServiceError:
                continue
            except Exception as error:  # noqa: BLE001 - whatever ends the watch ends the test
                self._world.complain(f"while running: {error!r}")
                return

    def end(self) -> None:
        self._over.set()
        self.join()


def await_quiet(stack: RunningStack) -> None:
    """Until no silo has anything left to tell, and no change runs."""

    def is_quiet() -> bool:
        left = sum(stack.value(silo, "SELECT count(*) FROM outbox_message") for silo in ("control", "us", "de"))
        running = "SELECT count(*) FROM organization_change WHERE state = 'RUNNING'"
        return not left and not stack.value("control", running)

    try:
        wait_until(is_quiet, "it never gets quiet", timeout_s=QUIET_TIMEOUT_S)
    except AssertionError as problem:
        for silo in ("control", "us", "de"):
            left = "SELECT target, aggregate, category, last_error, parked_at FROM outbox_message LIMIT 5"
            problem.add_note(f"{silo}: {stack.query(silo, left)}")
        raise


def check_at_rest(control: Database, regions: dict[str, Database]) -> None:
    """All that must hold in the end. Control confirms the tokens every 10 s for ever: a check that meets a confirmation
    on its way is made again.
    """
    for left in reversed(range(CONFIRMATIONS_MET_MAX)):
        try:
            check_quiet(control, regions)
            check_end(control, regions)
        except AssertionError:
            if not left:
                raise
            threading.Event().wait(_EVERY_S)
        else:
            return


def check_outcomes(world: World, clients: dict[int, ControlClient]) -> None:
    """Each request that was answered has one outcome, the same however it is asked for, and all that was ever
    answered was on the way to it. What was refused has changed nothing.
    """
    for asked in list(world.asked):
        services = clients[asked.caller].organizations
        name = f"organizationChanges/{asked.request_id}"
        if not asked.answers:
            assert asked.refusal is not None, f"{asked} never ended"
            assert _is_unknown(clients[asked.caller], name), f"{asked} was refused, and carried out"
            continue
        told = services.GetOrganizationChange(organization_pb.GetOrganizationChangeRequest(name=name))
        again = getattr(services, asked.method)(asked.request)
        assert told == again, f"{asked} is told in two ways: {told} {again}"
        assert told.state == Change.STATE_SUCCEEDED, f"{asked} failed: {told.error}"
        for answer in asked.answers:
            _check_was_on_its_way(asked, answer, told)


def check_organizations(stack: RunningStack, world: World) -> None:
    """As many organizations as provisions that were answered, each with its one owner."""
    provisions = [asked for asked in world.asked if asked.kind == "provision" and asked.answers]
    owners = [row for region in ("us", "de") for row in stack.query(region, _OWNERS)]
    assert len(owners) == len(provisions)
    assert {row[1:] for row in owners} <= {(1, 1)}, "an organization has not exactly its owner"
    changes = Counter(row[0] for row in stack.query("control", "SELECT kind FROM organization_change"))
    assert sum(changes.values()) == sum(bool(asked.answers) for asked in world.asked)


def _check_was_on_its_way(asked: Asked, answer: Change, end: Change) -> None:
    assert (answer.name, answer.kind, answer.slug, answer.region) == (end.name, end.kind, end.slug, end.region), asked
    if answer.state == Change.STATE_RUNNING:
        assert answer.organization in {"", end.organization}, asked
    else:
        assert answer == end, f"{asked} was answered differently before: {answer} {end}"


def _is_unknown(client: ControlClient, name: str) -> bool:
    try:
        client.organizations.GetOrganizationChange(organization_pb.GetOrganizationChangeRequest(name=name))
    except grpc.RpcError as error:
        return refusal_of(error).reason == "ORGANIZATION_CHANGE_NOT_FOUND"
    return False
