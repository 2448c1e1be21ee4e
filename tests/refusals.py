"""What a failed call tells, in one object, for all tests of doors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass
class Refusal:
    """Code, message, and what the details hold; texts are empty, and the rest None, where a refusal does not tell."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)
    resource: tuple[str, str] | None = None
    retry_after_ms: int | None = None
    request_id: str = field(default="", compare=False, repr=False)  # another one with each call

    @property
    def fields(self) -> list[str]:
        return [path for path, _ in self.violations]

    @property
    def retry_after_s(self) -> float | None:
        return None if self.retry_after_ms is None else self.retry_after_ms / 1000


def refusal_of(error: Any) -> Refusal:
    """What the error of a call tells."""
    refusal = Refusal(error.code(), error.details())
    refusal.request_id = str(dict(error.trailing_metadata() or ()).get("x-request-id", ""))
    status: Any = rpc_status.from_call(error)
    for packed in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        resource, retry = error_details_pb2.ResourceInfo(), error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            refusal.reason, refusal.domain, refusal.metadata = info.reason, info.domain, dict(info.metadata)
            assert info.domain == "siloway"
        elif packed.Unpack(bad):
            refusal.violations = [(one.field, one.description) for one in bad.field_violations]
        elif packed.Unpack(resource):
            refusal.resource = (resource.resource_type, resource.resource_name)
        elif packed.Unpack(retry):
            refusal.retry_after_ms = retry.retry_delay.ToMilliseconds()
    return refusal


@contextmanager
def refused() -> Iterator[list[Refusal]]:
    """Expects the enclosed call to be refused; the list holds its Refusal afterwards."""
    found: list[Refusal] = []
    with pytest.raises(grpc.RpcError) as caught:
        yield found
    found.append(refusal_of(caught.value))
