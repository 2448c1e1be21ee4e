"""Every refusal that Siloway makes, in one hierarchy.

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


class InvalidArgument(ServiceError):
    """A field of the request is not acceptable."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_FIELD"

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidArgument":
        """One violation; the message names the field."""
        return cls(f"{field}: {description}", violations=[Violation(field, description)])


class InvalidPageToken(InvalidArgument):
    """The page token is broken, or belongs to another query."""

    reason = "INVALID_PAGE_TOKEN"


class InvalidUpdateMask(InvalidArgument):
    """The update mask names a path that cannot be updated."""

    reason = "INVALID_UPDATE_MASK"


class InvalidUpload(InvalidArgument):
    """The uploaded bytes are not an export file."""

    reason = "INVALID_UPLOAD"


class Unauthenticated(ServiceError):
    """The call carries no valid token."""

    code = Code.UNAUTHENTICATED
    reason = "TOKEN_INVALID"


class TokenExpired(Unauthenticated):
    """The token has expired."""

    reason = "TOKEN_EXPIRED"


class TokenRevoked(Unauthenticated):
    """The token was revoked."""

    reason = "TOKEN_REVOKED"


class PermissionDenied(ServiceError):
    """The caller may not do this."""

    code = Code.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class ScopeMissing(PermissionDenied):
    """The token lacks a scope that this method needs."""

    reason = "SCOPE_MISSING"


class AudienceMismatch(PermissionDenied):
    """The token is for other silos than this one."""

    reason = "TOKEN_AUDIENCE"


class PeerRefused(PermissionDenied):
    """The calling silo may not do this."""

    reason = "PEER_REFUSED"


class ProjectNotAccessible(PermissionDenied):
    """The token may not touch a project of this release."""

    reason = "PROJECT_NOT_ACCESSIBLE"


class NotFound(ServiceError):
    """There is no such resource."""

    code = Code.NOT_FOUND
    reason = "RESOURCE_NOT_FOUND"


class OrganizationNotFound(NotFound):
    """There is no such organization."""

    reason = "ORGANIZATION_NOT_FOUND"


class ProjectNotFound(NotFound):
    """There is no such project."""

    reason = "PROJECT_NOT_FOUND"


class ReleaseNotFound(NotFound):
    """There is no such release."""

    reason = "RELEASE_NOT_FOUND"


class ImportNotFound(NotFound):
    """There is no such import."""

    reason = "IMPORT_NOT_FOUND"


class RequestNotFound(NotFound):
    """No request of this caller has that id."""

    reason = "REQUEST_NOT_FOUND"


class SlugNotFound(NotFound):
    """Nobody holds that slug."""

    reason = "SLUG_NOT_FOUND"


class OrganizationChangeNotFound(NotFound):
    """The caller has not asked for such a change."""

    reason = "ORGANIZATION_CHANGE_NOT_FOUND"


class AlreadyExists(ServiceError):
    """The resource exists already."""

    code = Code.ALREADY_EXISTS
    reason = "RESOURCE_EXISTS"


class ProjectExists(AlreadyExists):
    """The organization has a project with that slug."""

    reason = "PROJECT_EXISTS"


class SlugConflict(AlreadyExists):
    """An organization that control does not know of has that slug in the region."""

    reason = "SLUG_CONFLICT"


class SlugTaken(AlreadyExists):
    """The slug is taken; the metadata suggests free ones."""

    reason = "SLUG_TAKEN"


class RequestIdReused(AlreadyExists):
    """The request id was used for another request."""

    reason = "REQUEST_ID_REUSED"


class FailedPrecondition(ServiceError):
    """The system is not in a state for this."""

    code = Code.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class OrganizationImporting(FailedPrecondition):
    """The organization is being imported; only the import writes to it."""

    reason = "ORGANIZATION_IMPORTING"


class RedirectLimit(FailedPrecondition):
    """The organization has as many redirects as it may have; release one first."""

    reason = "REDIRECT_LIMIT"


class SlugsMismatch(FailedPrecondition):
    """The slugs are not those that the organizations of the request have now."""

    reason = "SLUGS_MISMATCH"


class WrongSilo(FailedPrecondition):
    """The database belongs to another silo."""

    reason = "WRONG_SILO"


class RegionNumberTaken(FailedPrecondition):
    """Another region has that number."""

    reason = "REGION_NUMBER_TAKEN"


class SpoolMissing(FailedPrecondition):
    """The uploaded file cannot be opened on this machine."""

    reason = "SPOOL_MISSING"


class Aborted(ServiceError):
    """Another writer was faster; try again."""

    code = Code.ABORTED
    reason = "WRITE_CONFLICT"


class EtagMismatch(Aborted):
    """The resource has changed since the etag was read."""

    reason = "ETAG_MISMATCH"


class SlugHeld(Aborted):
    """A request that has not finished holds the slug; try again."""

    reason = "SLUG_HELD"


class SlugChangePending(Aborted):
    """Another change of the organization's slug has not finished; try again."""

    reason = "SLUG_CHANGE_PENDING"


class UploadIncomplete(Aborted):
    """The upload ended before all announced bytes had come."""

    reason = "UPLOAD_INCOMPLETE"


class ResourceExhausted(ServiceError):
    """A limit is reached; try again later."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_CALLS"


class LimitExceeded(ResourceExhausted):
    """The request is larger than this server accepts."""

    reason = "LIMIT_EXCEEDED"


class SpoolFull(ResourceExhausted):
    """There is no room for another upload."""

    reason = "SPOOL_FULL"


class IdsExhausted(ResourceExhausted):
    """All ids of these seconds are given out."""

    reason = "IDS_EXHAUSTED"


class ClockBehind(ServiceError):
    """The clock stands behind the ids that were given out; ids wait for it."""

    code = Code.UNAVAILABLE
    reason = "CLOCK_BEHIND"


class Unavailable(ServiceError):
    """A part that is needed cannot be reached; try again."""

    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"


class StoreUnreachable(Unavailable):
    """The database cannot be reached; try again."""

    reason = "STORE_UNREACHABLE"


class OutcomeUnknown(Unavailable):
    """The connection was lost while committing; ask RequestService.GetRequest, or repeat with the same request id."""

    reason = "OUTCOME_UNKNOWN"


class PeerUnavailable(Unavailable):
    """The other silo cannot be reached; try again."""

    reason = "PEER_UNREACHABLE"


class Stopping(Unavailable):
    """The server is stopping; try another or try again."""

    reason = "SERVER_STOPPING"


class DeadlineExceeded(ServiceError):
    """The time for this call is over."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Cancelled(ServiceError):
    """The caller cancelled the call."""

    code = Code.CANCELLED
    reason = "CANCELLED"


class Unimplemented(ServiceError):
    """There is no such method on this door."""

    code = Code.UNIMPLEMENTED
    reason = "METHOD_UNKNOWN"


class Internal(ServiceError):
    """Internal error."""

    code = Code.INTERNAL
    reason = "INTERNAL"
