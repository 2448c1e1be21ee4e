"""The table of methods, silo names, addresses, permits, the current call, and checks of messages, each alone."""

import threading
import uuid

import pytest
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb

from shared.errors import InvalidArgument, OrganizationNotFound, ResourceExhausted, Unauthenticated
from shared.rpc import validation
from shared.rpc.addresses import CannotServe, is_loopback, split
from shared.rpc.call import Caller, acting, current_call, current_caller, mutation, require_organization
from shared.rpc.identity import dns_name_of, silo_of, uri_of
from shared.rpc.methods import Budget, Door, Method, MethodTable
from shared.rpc.permits import Permits


def test_a_name_without_a_row_is_denied_and_health_and_reflection_have_rows() -> None:
    table = MethodTable.of(Method("/a.B/C", Door.PUBLIC))
    assert table.get("/a.B/D") is None
    health, reflection = (
        table.get("/grpc.health.v1.Health/Check"),
        table.get("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
    )
    assert health is not None
    assert health.open
    assert reflection is not None
    assert not reflection.open


@pytest.mark.parametrize("names", [("/a.B/C", "/a.B/C"), ("a.B/C",), ("/a.B/C/D",)])
def test_a_table_with_a_repeated_or_broken_name_is_not_made(names: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        MethodTable.of(*(Method(name, Door.PUBLIC) for name in names))


def test_no_method_may_outlive_its_connection() -> None:
    with pytest.raises(AssertionError, match="outlive"):
        MethodTable.of(Method("/a.B/C", Door.PUBLIC, maximum_s=3600))


@pytest.mark.parametrize("silo", ["control", "us", "de", "eu-west-2"])
def test_a_silos_names_lead_back_to_it(silo: str) -> None:
    assert silo_of(uri_of(silo)) == silo
    assert dns_name_of(silo).endswith(".siloway.internal")


def test_silos_never_share_a_name() -> None:
    silos = ["control", "us", "de", "region"]
    assert len({uri_of(silo) for silo in silos} | {dns_name_of(silo) for silo in silos}) == 2 * len(silos)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://siloway",
        "spiffe://siloway/control/",
        "spiffe://siloway/region/",
        "spiffe://siloway/region/control",
        "spiffe://siloway/region/us/x",
        "spiffe://siloway/region/US",
        "spiffe://siloway/region/us\n",
        "spiffe://other/region/us",
        "https://siloway/region/us",
    ],
)
def test_another_uri_is_no_silo(uri: str) -> None:
    with pytest.raises(Unauthenticated):
        silo_of(uri)


@pytest.mark.parametrize("region", ["", "US", "us.x", "-us", "u" * 40, "a/b"])
def test_an_unfit_region_name_gets_no_certificate_name(region: str) -> None:
    with pytest.raises(ValueError, match="no region's name"):
        dns_name_of(region)


def test_addresses_are_taken_apart() -> None:
    assert split("127.0.0.1:7700") == ("127.0.0.1", 7700)
    assert split("[::1]:7700") == ("::1", 7700)
    for broken in ("7700", "host:", ":7700", "host:x", "host:70000", ""):
        with pytest.raises(CannotServe):
            split(broken)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "")],
    ],
)
def test_only_this_machines_own_addresses_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_no_more_permits_are_taken_than_there_are_whoever_asks() -> None:
    permits = Permits(Door.ADMIN, Budget.CALLS, 5)
    begin, taken = threading.Barrier(20), []

    def ask() -> None:
        begin.wait(5)
        try:
            permits.take()
        except ResourceExhausted:
            return
        taken.append(True)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == permits.in_use == 5
    permits.give_back()
    permits.take()


def test_the_current_call_ends_with_its_work() -> None:
    with acting(Caller("tokens/1"), method="/a.B/C", request_id="mine") as call:
        assert current_call() is call
        assert current_caller().principal == "tokens/1"
    assert current_call() is None
    with pytest.raises(AssertionError):
        current_caller()


def test_a_caller_bound_to_an_organization_may_touch_that_one_alone() -> None:
    with acting(Caller("tokens/1", organization_id=42), method="/a.B/C"):
        require_organization(42)
        with pytest.raises(OrganizationNotFound):
            require_organization(43)
    with acting(Caller("tokens/1"), method="/a.B/C"):
        require_organization(43)


def test_a_mutation_is_keyed_by_the_caller_and_the_clients_request_id() -> None:
    request_id = str(uuid.uuid4())
    message = release_pb.CreateReleaseRequest(request_id=request_id.upper(), parent="organizations/a")
    with acting(Caller("tokens/1"), method="/a.B/C"):
        made = mutation(message, 42, "1.0")
        assert (made.principal, made.request_id, made.method) == ("tokens/1", request_id, "/a.B/C")
        assert made.fingerprint == mutation(message, 42, "1.0").fingerprint
        assert made.fingerprint != mutation(message, 42, "1.1").fingerprint


def test_without_parts_the_whole_message_but_its_request_id_is_the_fingerprint() -> None:
    first, repeat, other = (
        release_pb.CreateReleaseRequest(request_id=str(uuid.uuid4()), parent=parent) for parent in ("a", "a", "b")
    )
    with acting(Caller("tokens/1"), method="/a.B/C"):
        assert mutation(first).fingerprint == mutation(repeat).fingerprint
        assert mutation(first).fingerprint != mutation(other).fingerprint
    assert first.request_id


@pytest.mark.parametrize("request_id", ["", "x", "6f1b0f0e93c54d5c8d2e0a4f6f2f7a11", "{" + "0" * 34 + "}", "0" * 36])
def test_a_request_id_that_is_no_uuid_is_named_in_the_refusal(request_id: str) -> None:
    with acting(Caller("tokens/1"), method="/a.B/C"), pytest.raises(InvalidArgument) as caught:
        mutation(release_pb.CreateReleaseRequest(request_id=request_id))
    assert caught.value.violations[0].field == "request_id"


def test_a_message_within_its_rules_passes() -> None:
    validation.check(snowflake_pb.GenerateIdsRequest(count=10))


def test_each_broken_rule_is_told_with_its_fields_path_and_index() -> None:
    commits = [release_pb.CommitSpec(id="a") for _ in range(5)]
    commits[1].repository = "r" * 201
    commits[3].id = ""
    with pytest.raises(InvalidArgument) as caught:
        validation.check(release_pb.UpdateReleaseRequest(commits=release_pb.CommitSet(commits=commits)))
    fields = [violation.field for violation in caught.value.violations]
    assert "commits.commits[1].repository" in fields
    assert "commits.commits[3].id" in fields
    assert all(violation.description for violation in caught.value.violations)
