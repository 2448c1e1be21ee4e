"""Who calls: a bearer token on the public door, the one URI name of the peer's certificate on the internal door.

How a token becomes a caller is the silo's own business and comes as a function; its secret goes nowhere else.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from shared.errors import Unauthenticated
from shared.rpc.call import Caller
from shared.rpc.identity import CONTROL, silo_of
from shared.rpc.methods import PEER_CONTROL, PEER_REGION

Metadata = Mapping[str, Any]
Authenticate = Callable[[grpc.ServicerContext, Metadata], Caller]
_SECRET_LENGTH_MAX = 512


def by_token(authenticate: Callable[[str], Caller]) -> Authenticate:
    """Reads `authorization: Bearer <secret>`. Raises Unauthenticated otherwise, and what `authenticate` raises."""

    def caller(_context: grpc.ServicerContext, metadata: Metadata) -> Caller:
        header = metadata.get("authorization")
        if not isinstance(header, str):
            raise Unauthenticated("The call carries no token: send the metadata authorization: Bearer <token>.")
        scheme, _, secret = header.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret or len(secret) > _SECRET_LENGTH_MAX:
            raise Unauthenticated("The metadata authorization must read: Bearer <token>.")
        return authenticate(secret)

    return caller


def admitted(authenticate: Authenticate, admit: Callable[[Caller], None]) -> Authenticate:
    """As `authenticate`, for those that `admit` lets in; it raises what refuses a caller."""

    def caller(context: grpc.ServicerContext, metadata: Metadata) -> Caller:
        found = authenticate(context, metadata)
        admit(found)
        return found

    return caller


def by_certificate(context: grpc.ServicerContext, _metadata: Metadata) -> Caller:
    """The silo that the peer's certificate names. Raises Unauthenticated without exactly one URI name of a silo."""
    names: Mapping[str, Any] = context.auth_context()
    uris = list(names.get("peer_uri", ()))
    if len(uris) != 1:
        raise Unauthenticated("The peer's certificate must have exactly one URI name.")
    silo = silo_of(uris[0].decode("utf-8", "replace"))
    scope = PEER_CONTROL if silo == CONTROL else PEER_REGION
    return Caller(f"silos/{silo}", scopes=frozenset({scope}), silo=silo)
