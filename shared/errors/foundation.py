"""What every refusal has: code, reason, message, details.

A class fixes the gRPC code and the stable reason; the docstring's first line is the default message. One interceptor
turns an instance into google.rpc.Status. Nothing here knows gRPC, SQL or Redis. The reasons are listed in
protos/siloway/common/v1/error_reason.proto and docs/errors.md; a test keeps the three equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Code(Enum):
    """The gRPC status codes in use, by their numbers."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True)
class Violation:
    """One broken rule of a request: the field's path with indexes, and what was expected."""

    field: str
    description: str


@dataclass(frozen=True)
class Resource:
    """What was looked for or stands in the way: its type and canonical name."""

    type: str
    name: str


class ServiceError(Exception):
    """Something went wrong."""

    code: ClassVar[Code]
    reason: ClassVar[str]

    def __init__(
        self,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        violations: Sequence[Violation] = (),
        resource: Resource | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.violations = tuple(violations)
        self.resource = resource
        super().__init__(self.message)
