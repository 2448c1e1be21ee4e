"""What a silo's refusal says, in one object: the code, the stable reason, the fields and when to try again."""

from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class Refusal(Exception):
    """A call that did not succeed. `reason` is one of siloway.common.v1.ErrorReason without its prefix,
    or the gRPC code's name when the answer came from no silo. `violations` are (field path, description) pairs.
    """

    code: str
    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str], ...] = ()
    retry_after_s: float | None = None

    def __str__(self) -> str:
        text = f"{self.reason}: {self.message}"
        fields = [f"{path}: {description}" for path, description in self.violations]
        if len(fields) > 1 or (fields and fields[0] not in self.message):
            text += " [" + "; ".join(fields) + "]"
        if self.retry_after_s is not None:
            text += f" (try again in {self.retry_after_s:g} s)"
        return text


def refusal_of(error: grpc.RpcError) -> Refusal:
    """The refusal that a failed call carries."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = (error.details() or "") if isinstance(error, grpc.Call) else str(error)
    reason, retry_after_s = code.name, None
    metadata: dict[str, str] = {}
    violations: list[tuple[str, str]] = []
    status: Any = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    for detail in status.details if status is not None else ():
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations = [(violation.field, violation.description) for violation in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return Refusal(code.name, reason, details, metadata, tuple(violations), retry_after_s)
