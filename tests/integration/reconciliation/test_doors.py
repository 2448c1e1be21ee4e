"""The comparison over the regions' internal doors, and what operators see and ask at control's public door."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from siloway.control.v1 import reconciliation_service_pb2 as reconciliation_pb
from siloway.control.v1 import reconciliation_service_pb2_grpc as reconciliation_rpc
from siloway.internal.v1 import region_comparison_service_pb2 as comparison_pb
from siloway.internal.v1 import region_comparison_service_pb2_grpc as comparison_rpc

from control_silo.callbacks.transport import RegionTransport
from control_silo.reconciliation import servicer as reconciliation
from control_silo.reconciliation.region_peer import RegionPeers
from control_silo.reconciliation.runner import Reconciler
from region_silo.comparison import servicer as comparison
from shared.comparing.domain import Kind
from shared.errors import PeerUnavailable
from shared.rpc.call import Caller
from shared.rpc.channel import InternalChannel
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from tests.integration.callbacks.silos import Silos, execute, rows
from tests.integration.provisioning.asking import id_of, made
from tests.integration.reconciliation.comparing import Reconciling
from tests.integration.reconciliation.test_kinds import minted
from tests.integration.rpc.certificates import Authority, as_files
from tests.invariants import check_quiet
from tests.refusals import Refusal, refusal_of

pytestmark = pytest.mark.integration

CALLERS = {
    "operator": Caller("tokens/1", frozenset({"silo:operate"})),
    "bound": Caller("tokens/2", frozenset({"silo:operate"}), organization_id=17),
    "other": Caller("tokens/3", frozenset({"org:admin"})),
}


class InternalDoors:
    """The regions' internal doors with what control asks there."""

    def __init__(self, silos: Silos, folder: Path, stack: ExitStack) -> None:
        self.stack = stack
        self.authority = Authority.make()
        self.addresses = {}
        for name, database in silos.regions.items():
            add = comparison_rpc.add_RegionComparisonServiceServicer_to_server
            server = build_server(
                address="127.0.0.1:0",
                table=MethodTable.of(*comparison.METHODS),
                door=Door.INTERNAL,
                servicers=[(add, comparison.RegionComparisonServicer(database))],
                tls=as_files(self.authority.silo(name), folder / name),
            )
            server.start()
            stack.callback(server.stop, 0)
            self.addresses[name] = f"127.0.0.1:{server.port}"
        self.transport = RegionTransport(self.addresses, self.authority.silo("control"))
        stack.callback(self.transport.close)


@pytest.fixture
def doors(silos: Silos, tmp_path: Path) -> Iterator[InternalDoors]:
    with ExitStack() as stack:
        yield InternalDoors(silos, tmp_path, stack)


class Operators:
    """Control's public door with ReconciliationService."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = reconciliation_rpc.ReconciliationServiceStub(channel)

    def call(self, method: str, request: object, who: str = "operator") -> Any:
        return getattr(self.stub, method)(request, timeout=10, metadata=(("authorization", f"Bearer {who}"),))

    def refused(self, method: str, request: object, who: str = "operator") -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request, who)
        return refusal_of(caught.value)


@pytest.fixture
def operators(silos: Silos) -> Iterator[Operators]:
    server = build_server(
        address="127.0.0.1:0",
        table=MethodTable.of(*reconciliation.METHODS),
        door=Door.PUBLIC,
        servicers=[
            (
                reconciliation_rpc.add_ReconciliationServiceServicer_to_server,
                reconciliation.ReconciliationServicer(silos.control),
            )
        ],
        authenticate=CALLERS.__getitem__,
    )
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Operators(channel)
    server.stop(0)


def test_differences_of_every_kind_are_found_and_repaired_over_the_doors(silos: Silos, doors: InternalDoors) -> None:
    organization_id = id_of(made(silos))
    token_id = minted(silos)
    reconciling = Reconciling(silos)
    reconciling.reconciler = Reconciler(silos.control, RegionPeers(doors.transport), reconciling.settings)
    execute(silos.regions["us"], "DELETE FROM token WHERE id = :id", id=token_id)
    execute(silos.regions["us"], "DELETE FROM region_directory WHERE name = 'us'")
    execute(silos.control, "DELETE FROM organization_mapping WHERE organization_id = :id", id=organization_id)

    reconciling.go()

    assert [told[:3] for told in reconciling.told()] == [
        ("us", Kind.REGION, "us"),
        ("us", Kind.TOKEN, str(token_id)),
        ("us", Kind.ORGANIZATION, str(organization_id)),
    ]
    silos.drain()
    reconciling.go()
    assert reconciling.differences(pending=True) == []
    assert all(found.equal_up_to is not None for found in reconciling.states().values())
    check_quiet(silos.control, silos.regions)


def test_only_control_may_ask_and_only_within_limits(silos: Silos, doors: InternalDoors) -> None:
    key = comparison_pb.KeyRange(after_key=0, last_key=10)
    one = comparison_pb.DigestRangesRequest(kind=comparison_pb.COMPARED_KIND_TOKEN, ranges=[key])
    many = comparison_pb.DigestRangesRequest(kind=comparison_pb.COMPARED_KIND_TOKEN, ranges=[key] * 11)
    none = comparison_pb.DigestRangesRequest(ranges=[key])
    odd = comparison_pb.ReadRowsRequest(kind=comparison_pb.COMPARED_KIND_TOKEN, subjects=["1; DROP"])

    def asked(caller: str) -> comparison_rpc.RegionComparisonServiceStub:
        channel = InternalChannel(doors.addresses["us"], peer="us", credentials=doors.authority.silo(caller))
        doors.stack.callback(channel.close)
        stub: comparison_rpc.RegionComparisonServiceStub = comparison_rpc.RegionComparisonServiceStub(channel.channel)
        return stub

    with pytest.raises(grpc.RpcError) as caught:
        asked("de").DigestRanges(one, timeout=5)
    assert refusal_of(caught.value).code is grpc.StatusCode.PERMISSION_DENIED
    for method, request in (("DigestRanges", many), ("DigestRanges", none), ("ReadRows", odd)):
        with pytest.raises(grpc.RpcError) as caught:
            getattr(asked("control"), method)(request, timeout=5)
        assert refusal_of(caught.value).code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_region_without_an_address_is_told_as_unreachable(silos: Silos, doors: InternalDoors) -> None:
    with pytest.raises(PeerUnavailable):
        RegionPeers(doors.transport).read_rows("fr", Kind.TOKEN, ["1"])


def test_operators_see_how_far_regions_are_equal_and_ask_for_a_repair(silos: Silos, operators: Operators) -> None:
    organization_id = id_of(made(silos))
    reconciling = Reconciling(silos)
    reconciling.go()
    wrong = "UPDATE organization SET slug = 'wrong' WHERE id = :id"
    execute(silos.regions["us"], wrong, id=organization_id)
    reconciling.go()

    listed = operators.call("ListReconciliations", reconciliation_pb.ListReconciliationsRequest(region="regions/us"))
    assert len(listed.reconciliations) == 4
    assert all(each.HasField("equal_up_to_time") for each in listed.reconciliations)
    counts = {each.kind: each.difference_count for each in listed.reconciliations}
    assert counts[reconciliation_pb.RECONCILIATION_KIND_SLUG] == 1
    request = reconciliation_pb.ListDifferencesRequest(kind=reconciliation_pb.RECONCILIATION_KIND_SLUG)
    (found,) = operators.call("ListDifferences", request).differences
    assert (found.subject, found.region) == (str(organization_id), "regions/us")
    assert found.state == reconciliation_pb.Difference.STATE_DIFFERENT
    assert '"acme"' in found.control_json
    assert '"wrong"' in found.region_json

    asked = reconciliation_pb.RepairDifferencesRequest(names=[found.name], request_id=str(uuid.uuid4()))
    first = operators.call("RepairDifferences", asked)
    assert first.differences[0].HasField("repair_request_time")
    assert operators.call("RepairDifferences", asked) == first
    while reconciling.reconciler.compare_due(reconciling.stop) is not None:
        pass
    silos.drain()
    reconciling.go()

    assert rows(silos.regions["us"], "SELECT slug FROM organization") == [("acme",)]
    assert reconciling.told() == []
    audited = rows(
        silos.control,
        "SELECT principal, action FROM audit_entry WHERE starts_with(action, 'reconciliation') ORDER BY id",
    )
    assert audited == [("tokens/1", "reconciliation.request_repair"), ("machine", "reconciliation.repair")]


def test_what_cannot_be_repaired_is_refused_as_a_whole(silos: Silos, operators: Operators) -> None:
    repairable, newer = minted(silos, "us"), minted(silos, "us")
    execute(silos.regions["us"], "UPDATE token SET name = 'x' WHERE id = :id", id=repairable)
    execute(silos.regions["us"], "UPDATE token SET version = 7 WHERE id = :id", id=newer)
    Reconciling(silos).go()
    found = operators.call("ListDifferences", reconciliation_pb.ListDifferencesRequest()).differences
    names = [each.name for each in found]
    assert len(names) == 2

    def refusal(*wanted: str) -> str:
        request = reconciliation_pb.RepairDifferencesRequest(names=wanted, request_id=str(uuid.uuid4()))
        return operators.refused("RepairDifferences", request).reason

    assert refusal(*names) == "DIFFERENCE_NOT_REPAIRABLE"
    assert refusal(names[0], "differences/999999") == "DIFFERENCE_NOT_FOUND"
    assert set(rows(silos.control, "SELECT repair_requested_at FROM reconciliation_difference")) == {(None,)}


def test_differences_are_listed_page_by_page(silos: Silos, operators: Operators) -> None:
    ids = [minted(silos, "us") for _ in range(5)]
    execute(silos.regions["us"], "UPDATE token SET name = 'x'")
    Reconciling(silos).go()
    seen: list[str] = []
    request = reconciliation_pb.ListDifferencesRequest(page_size=2)
    while True:
        page = operators.call("ListDifferences", request)
        seen += [each.subject for each in page.differences]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == sorted(map(str, ids))
    request.show_pending = True
    assert operators.refused("ListDifferences", request).reason == "INVALID_PAGE_TOKEN"


def test_only_unbound_operators_see_and_ask(silos: Silos, operators: Operators) -> None:
    for method, request in (
        ("ListReconciliations", reconciliation_pb.ListReconciliationsRequest()),
        ("ListDifferences", reconciliation_pb.ListDifferencesRequest()),
        (
            "RepairDifferences",
            reconciliation_pb.RepairDifferencesRequest(names=["differences/1"], request_id=str(uuid.uuid4())),
        ),
    ):
        assert operators.refused(method, request, "other").reason == "SCOPE_MISSING"
        assert operators.refused(method, request, "bound").reason == "PERMISSION_DENIED"
