"""Refusals of who calls: tokens, scopes, peers, quotas of trust."""

from shared.errors.foundation import Code, ServiceError


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


class UserSuspended(Unauthenticated):
    """The user that the token acts for is suspended."""

    reason = "USER_SUSPENDED"


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


class GrantExceeded(PermissionDenied):
    """A token may not give what it does not have itself."""

    reason = "GRANT_EXCEEDED"
