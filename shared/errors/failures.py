"""Limits that are reached, parts that are away, time that is over, and what broke inside."""

from shared.errors.foundation import Code, ServiceError


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


class QuotaExhausted(ResourceExhausted):
    """The token has used up its quota; try again later."""

    reason = "QUOTA_EXHAUSTED"


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


class SiloRestored(Unavailable):
    """The silo was restored from a backup and is closed until it is in step with the others; try again."""

    reason = "SILO_RESTORED"


class TokenUnconfirmed(Unavailable):
    """Control has not confirmed the tokens for so long that this region believes none; try again."""

    reason = "TOKEN_UNCONFIRMED"


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
