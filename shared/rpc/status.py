"""Refusals on the wire: ServiceError to google.rpc.Status, and a peer's answer back to a ServiceError of ours.

ErrorInfo is always there. The details travel as a header of at most 8 KiB, so long lists of violations are cut and told
by number. A peer's answer is mapped on purpose, never forwarded: what it calls our mistake is ours, not our client's.
"""

from typing import Final, TypeVar

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from shared import deadline, errors
from shared.errors import Code, ServiceError

DOMAIN: Final = "siloway"
DETAILS_KEY: Final = "grpc-status-details-bin"
_DETAILS_BYTES_MAX = 5_000
_TEXT_LENGTH_MAX = 500
_VIOLATIONS_MAX = 50
_REASONS_AS_THEY_ARE = (
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.Aborted,
    errors.ScopeMissing,
    errors.AudienceMismatch,
)
_Detail = TypeVar("_Detail", bound=Message)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def grpc_code(code: Code) -> grpc.StatusCode:
    """The same code in grpc's own type."""
    return _CODES[code.value]


def to_status(error: ServiceError) -> status_pb2.Status:
    """The refusal with ErrorInfo and the details that its code asks for, in a size that a header can carry."""
    shown = min(len(error.violations), _VIOLATIONS_MAX)
    while True:
        status = _status(error, shown)
        if shown == 0 or status.ByteSize() <= _DETAILS_BYTES_MAX:
            return status
        shown //= 2


def from_rpc_error(error: grpc.RpcError) -> ServiceError:
    """What a failed call to another silo means here.

    By reason: NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED and a caller's missing scope stay themselves.
    Whatever a later try may mend is PeerUnavailable. All else, INVALID_ARGUMENT first, is our own mistake: Internal.
    """
    code = error.code() if isinstance(error, grpc.Call) else None
    text = (error.details() or "") if isinstance(error, grpc.Call) else str(error)
    status = _peer_status(error)
    info = _detail(status, error_details_pb2.ErrorInfo())
    retry = _detail(status, error_details_pb2.RetryInfo())
    retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9 if retry else None
    reason = info.reason if info is not None and info.domain == DOMAIN else ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and deadline.remaining_s() is not None and _is_time_over():
        return errors.DeadlineExceeded()
    if _may_pass(code, reason, text):
        metadata = {"peer_reason": reason or (code.name if code else "")}
        return errors.PeerUnavailable(metadata=metadata, retry_after_s=retry_after_s)
    found = _class_of(reason)
    if info is not None and found is not None and issubclass(found, _REASONS_AS_THEY_ARE):
        resource = _detail(status, error_details_pb2.ResourceInfo())
        return found(
            status.message if status else None,
            metadata=dict(info.metadata),
            retry_after_s=retry_after_s,
            resource=errors.Resource(resource.resource_type, resource.resource_name) if resource else None,
        )
    return errors.Internal(metadata={"peer_reason": reason or (code.name if code else "UNKNOWN")})


def _status(error: ServiceError, violations_shown: int) -> status_pb2.Status:
    metadata = {key: _cut(value) for key, value in error.metadata.items()}
    if violations_shown < len(error.violations):
        metadata["violations"] = str(len(error.violations))
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if violations_shown:
        details.append(_bad_request(error, violations_shown))
    if error.resource is not None:
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.resource.type,
                resource_name=_cut(error.resource.name),
                description=_cut(error.message),
            )
        )
    if error.code is Code.FAILED_PRECONDITION:
        details.append(_precondition_failure(error))
    if isinstance(error, errors.QuotaExhausted):
        details.append(_quota_failure(error))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(max(1, round(error.retry_after_s * 1000)))
        details.append(retry)
    status = status_pb2.Status(code=error.code.value, message=_cut(error.message))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _bad_request(error: ServiceError, shown: int) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=_cut(violation.field), description=_cut(violation.description)
            )
            for violation in error.violations[:shown]
        ]
    )


def _precondition_failure(error: ServiceError) -> error_details_pb2.PreconditionFailure:
    subject = error.resource.name if error.resource is not None else ""
    violation = error_details_pb2.PreconditionFailure.Violation(
        type=error.reason, subject=_cut(subject), description=_cut(error.message)
    )
    return error_details_pb2.PreconditionFailure(violations=[violation])


def _quota_failure(error: errors.QuotaExhausted) -> error_details_pb2.QuotaFailure:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=_cut(error.metadata.get("subject", "")), description=_cut(error.message)
    )
    return error_details_pb2.QuotaFailure(violations=[violation])


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LENGTH_MAX else text[: _TEXT_LENGTH_MAX - 3] + "..."


def _peer_status(error: grpc.RpcError) -> status_pb2.Status | None:
    if not isinstance(error, grpc.Call):
        return None
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _detail(status: status_pb2.Status | None, wanted: _Detail) -> _Detail | None:
    packed: Any
    for packed in status.details if status is not None else ():
        if packed.Unpack(wanted):
            return wanted
    return None


def _is_time_over() -> bool:
    left = deadline.remaining_s()
    return left is not None and left < 0.03


def _may_pass(code: grpc.StatusCode | None, reason: str, text: str) -> bool:
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return True
    if code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return False
    # grpcio's own refusals carry no reason: a message too large will stay too large, a full server will not stay full.
    return reason == errors.ResourceExhausted.reason or (not reason and "larger than max" not in text)


def _class_of(reason: str) -> type[ServiceError] | None:
    to_visit: list[type[ServiceError]] = list(ServiceError.__subclasses__())
    while to_visit:
        visited = to_visit.pop()
        if visited.reason == reason:
            return visited
        to_visit.extend(visited.__subclasses__())
    return None
