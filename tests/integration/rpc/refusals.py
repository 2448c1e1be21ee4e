"""Reads what a failed call tells: code, ErrorInfo and the other details."""

from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass
class Refusal:
    code: grpc.StatusCode
    text: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)
    retry_after_ms: int | None = None
    request_id: str = ""


def refusal_of(error: Any) -> Refusal:
    refusal = Refusal(error.code(), error.details())
    refusal.request_id = str(dict(error.trailing_metadata() or ()).get("x-request-id", ""))
    status: Any = rpc_status.from_call(error)
    for packed in status.details if status is not None else ():
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            refusal.reason, refusal.domain, refusal.metadata = info.reason, info.domain, dict(info.metadata)
        elif packed.Unpack(bad):
            refusal.violations = [(one.field, one.description) for one in bad.field_violations]
        elif packed.Unpack(retry):
            refusal.retry_after_ms = retry.retry_delay.ToMilliseconds()
    return refusal
