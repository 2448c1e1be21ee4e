"""What a request record is, and when a repeat is a repeat.

The key is (principal, request id). A repeat must be of the same method and have the same fingerprint; anything else
under the same key is another request, and is refused.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import msgspec

from shared import errors


class RequestState(Enum):
    """How far a request has come; the names stand in the rows."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class RequestKey:
    """Whose request, and the UUID that they gave it."""

    principal: str
    request_id: str


@dataclass(frozen=True)
class Mutation:
    """A mutating request as it arrived. `request_id` is a UUID as text, `fingerprint` tells requests apart."""

    principal: str
    request_id: str
    method: str
    fingerprint: bytes

    @property
    def key(self) -> RequestKey:
        return RequestKey(self.principal, self.request_id)


@dataclass(frozen=True)
class StoredError:
    """Why a request of several steps was given up: the gRPC code's number, the stable reason, and the words."""

    code: int
    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: errors.ServiceError) -> "StoredError":
        """The part of an error that outlives its call."""
        return cls(error.code.value, error.reason, error.message, dict(error.metadata))


@dataclass(frozen=True)
class Started:
    """The resource of a request of several steps; `first` is False when an earlier call has started it."""

    resource: str
    first: bool


@dataclass(frozen=True)
class RequestRecord:
    """The whole record. `answer` is what a one-step request answered, as JSON values; `resource` may be empty."""

    key: RequestKey
    method: str
    fingerprint: bytes
    state: RequestState
    answer: object
    resource: str
    error: StoredError | None
    created_at: datetime
    updated_at: datetime


def fingerprint(*parts: object) -> bytes:
    """SHA-256 of the parts (JSON values, bytes, times, dataclasses), each with its type; key order does not count."""
    typed = [(type(part).__name__, part) for part in parts]
    return hashlib.sha256(msgspec.json.encode(typed, order="deterministic")).digest()


def check_same_request(record: RequestRecord, mutation: Mutation) -> None:
    """Raise RequestIdReused when `mutation` is not a repeat of what `record` holds."""
    if (record.method, record.fingerprint) != (mutation.method, mutation.fingerprint):
        raise errors.RequestIdReused(metadata={"request_id": mutation.request_id, "first_method": record.method})
