"""Refusals on the wire fit a header with all their details; a peer's refusal means what we decided that it means."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from shared import errors
from shared.errors import Resource, ServiceError, Violation
from shared.rpc.status import DETAILS_KEY, from_rpc_error, grpc_code, to_status


def _classes(parent: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    for child in parent.__subclasses__():
        if child.__module__.startswith("shared.errors."):
            yield child
        yield from _classes(child)


ALL = sorted(set(_classes()), key=lambda found: found.__name__)


class _Failure(grpc.RpcError, grpc.Call):
    """A failed call as grpc's client raises it."""

    def __init__(self, code: grpc.StatusCode, details: str = "", status: status_pb2.Status | None = None) -> None:
        self._told = (code, details)
        self._trailer = ((DETAILS_KEY, status.SerializeToString()),) if status is not None else ()

    def code(self) -> grpc.StatusCode:
        return self._told[0]

    def details(self) -> str:
        return self._told[1]

    def trailing_metadata(self) -> Any:
        return self._trailer

    def initial_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Any) -> bool:
        return False


def _sent(error: ServiceError) -> _Failure:
    return _Failure(grpc_code(error.code), error.message, to_status(error))


def _details(error: ServiceError) -> dict[str, Any]:
    kinds = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.ResourceInfo,
        error_details_pb2.RetryInfo,
        error_details_pb2.PreconditionFailure,
    )
    found: dict[str, Any] = {}
    for packed in to_status(error).details:
        for kind in kinds:
            detail = kind()
            if packed.Unpack(detail):
                assert kind.__name__ not in found, "each detail at most once"
                found[kind.__name__] = detail
    return found


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_refusal_has_its_code_reason_and_domain(kind: type[ServiceError]) -> None:
    status = to_status(kind(metadata={"key": "value"}))
    info = _details(kind(metadata={"key": "value"}))["ErrorInfo"]
    assert status.code == kind.code.value == grpc_code(kind.code).value[0]
    assert grpc_code(kind.code).name == kind.code.name
    assert (info.reason, info.domain, dict(info.metadata)) == (kind.reason, "siloway", {"key": "value"})
    assert status.message == kind().message


def test_details_fit_the_refusal() -> None:
    violations = [Violation("commits[3].id", "is missing"), Violation("version", "is too long")]
    bad = _details(errors.InvalidArgument("no", violations=violations))["BadRequest"]
    assert [(one.field, one.description) for one in bad.field_violations] == [
        ("commits[3].id", "is missing"),
        ("version", "is too long"),
    ]
    info = _details(errors.ReleaseNotFound(resource=Resource("siloway/Release", "organizations/1/releases/a")))[
        "ResourceInfo"
    ]
    assert (info.resource_type, info.resource_name) == ("siloway/Release", "organizations/1/releases/a")
    retry = _details(errors.IdsExhausted(retry_after_s=0.25))["RetryInfo"]
    assert retry.retry_delay.ToMilliseconds() == 250
    precondition = _details(errors.SpoolMissing())["PreconditionFailure"]
    assert [one.type for one in precondition.violations] == ["SPOOL_MISSING"]
    assert set(_details(errors.Internal())) == {"ErrorInfo"}


@pytest.mark.parametrize("field", ["f", "f" * 2000, "ü" * 2000])
def test_a_thousand_violations_still_fit_a_header(field: str) -> None:
    violations = [Violation(f"{field}[{number}]", "is wrong") for number in range(1000)]
    error = errors.InvalidArgument("x" * 100_000, violations=violations)
    status = to_status(error)
    assert status.ByteSize() < 6_000
    details = _details(error)
    assert 1 <= len(details["BadRequest"].field_violations) <= 50
    assert details["ErrorInfo"].metadata["violations"] == "1000"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_peers_refusal_means_what_was_decided(kind: type[ServiceError]) -> None:
    raised = kind(metadata={"slug": "a"}, resource=Resource("slug", "slugReservations/a"), retry_after_s=0.5)
    here = from_rpc_error(_sent(raised))
    kept = (errors.NotFound, errors.AlreadyExists, errors.FailedPrecondition, errors.Aborted)
    if issubclass(kind, (*kept, errors.ScopeMissing, errors.AudienceMismatch)):
        assert type(here) is kind
        assert here.metadata == {"slug": "a"}
        assert here.resource == raised.resource
        assert here.retry_after_s == 0.5
    elif kind.code in (errors.Code.UNAVAILABLE, errors.Code.DEADLINE_EXCEEDED, errors.Code.CANCELLED) or (
        kind is errors.ResourceExhausted
    ):
        assert type(here) is errors.PeerUnavailable
        assert here.retry_after_s == 0.5
    else:
        assert type(here) is errors.Internal
        assert here.metadata == {"peer_reason": kind.reason}


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "handshake failed", errors.PeerUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.PeerUnavailable),
        (grpc.StatusCode.CANCELLED, "", errors.PeerUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", errors.PeerUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 8)", errors.Internal),
        (grpc.StatusCode.INVALID_ARGUMENT, "", errors.Internal),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", errors.Internal),
        (grpc.StatusCode.UNAUTHENTICATED, "", errors.Internal),
        (grpc.StatusCode.UNKNOWN, "", errors.Internal),
        (grpc.StatusCode.NOT_FOUND, "from a proxy", errors.Internal),
    ],
)
def test_a_failure_without_our_details_is_never_our_clients_fault(
    code: grpc.StatusCode, text: str, expected: type[ServiceError]
) -> None:
    assert type(from_rpc_error(_Failure(code, text))) is expected


def test_another_domains_reason_is_not_taken_for_ours() -> None:
    status = status_pb2.Status(code=5, message="no")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="SLUG_NOT_FOUND", domain="elsewhere"))
    assert type(from_rpc_error(_Failure(grpc.StatusCode.NOT_FOUND, "no", status))) is errors.Internal


def test_a_broken_trailer_or_a_bare_error_is_internal() -> None:
    broken = _Failure(grpc.StatusCode.NOT_FOUND)
    broken._trailer = ((DETAILS_KEY, b"\xff\xff\xff"),)
    assert type(from_rpc_error(broken)) is errors.Internal
    assert type(from_rpc_error(grpc.RpcError())) is errors.Internal
