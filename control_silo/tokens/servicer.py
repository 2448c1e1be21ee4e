"""TokenService on the wire."""

from datetime import UTC, datetime
from functools import partial

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import token_service_pb2 as token_pb
from siloway.control.v1 import token_service_pb2_grpc as token_rpc

from control_silo.tokens.domain import NewToken
from control_silo.tokens.grants import ADMIN, OPERATE, TokenUseCases
from shared.errors import InvalidArgument
from shared.names import Key, organization_name, parse_numbered, parse_organization
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose
from shared.tokens import Token

_SERVICE = "/siloway.control.v1.TokenService"
_SCOPES = (OPERATE, ADMIN)

METHODS = (
    Method(
        f"{_SERVICE}/CreateToken",
        Door.PUBLIC,
        _SCOPES,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("token.organization",),
    ),
    Method(f"{_SERVICE}/GetToken", Door.PUBLIC, _SCOPES, whose=Whose.ORGANIZATION, names=("name",)),
    Method(f"{_SERVICE}/ListTokens", Door.PUBLIC, _SCOPES, whose=Whose.ORGANIZATION, names=("organization",)),
    Method(
        f"{_SERVICE}/RevokeToken",
        Door.PUBLIC,
        _SCOPES,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("name",),
        while_closed=True,
    ),
)


class TokenServicer(token_rpc.TokenServiceServicer):
    """Serves control's tokens."""

    def __init__(self, usecases: TokenUseCases) -> None:
        self._usecases = usecases

    def CreateToken(self, request: token_pb.CreateTokenRequest, context: grpc.ServicerContext) -> token_pb.Token:
        del context
        organization = _organization(request.token.organization, "token.organization")
        made = self._usecases.create_token(organization, _asked(request.token), partial(mutation, request))
        message = _message(made.token)
        message.secret = made.secret or ""
        shown, shown_before = token_pb.Token.SECRET_STATE_SHOWN, token_pb.Token.SECRET_STATE_ALREADY_SHOWN
        message.secret_state = shown_before if made.secret is None else shown
        return message

    def GetToken(self, request: token_pb.GetTokenRequest, context: grpc.ServicerContext) -> token_pb.Token:
        del context
        return _message(self._usecases.get_token(parse_numbered(request.name, "tokens", "name")))

    def ListTokens(
        self, request: token_pb.ListTokensRequest, context: grpc.ServicerContext
    ) -> token_pb.ListTokensResponse:
        del context
        page, next_page_token = self._usecases.list_tokens(
            page_size=request.page_size,
            token=request.page_token,
            organization=_organization(request.organization, "organization"),
            user_id=_user(request.user, "user"),
            show_revoked=request.show_revoked,
        )
        return token_pb.ListTokensResponse(tokens=[_message(row) for row in page], next_page_token=next_page_token)

    def RevokeToken(self, request: token_pb.RevokeTokenRequest, context: grpc.ServicerContext) -> token_pb.Token:
        del context
        token_id = parse_numbered(request.name, "tokens", "name")
        return _message(self._usecases.revoke_token(token_id, partial(mutation, request)))


def _asked(token: token_pb.Token) -> NewToken:
    return NewToken(
        name=token.display_name,
        audience=tuple(token.audience),
        scopes=tuple(token.scopes),
        expires_at=_time(token.expire_time) if token.HasField("expire_time") else None,
        user_id=_user(token.user, "token.user"),
        calls_per_minute=token.quota.calls_per_minute,
        ids_per_minute=token.quota.ids_per_minute,
    )


def _organization(name: str, field: str) -> Key | None:
    return parse_organization(name, field) if name else None


def _user(name: str, field: str) -> int | None:
    return parse_numbered(name, "users", field) if name else None


def _time(timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise InvalidArgument.of("token.expire_time", "must be a time between the years 1 and 9999") from exc


def _message(token: Token) -> token_pb.Token:
    message = token_pb.Token(
        name=f"tokens/{token.id}",
        uid=str(token.id),
        display_name=token.name,
        audience=token.audience,
        scopes=token.scopes,
        organization="" if token.organization_id is None else organization_name(token.organization_id),
        user="" if token.user_id is None else f"users/{token.user_id}",
    )
    if token.calls_per_minute or token.ids_per_minute:
        message.quota.calls_per_minute = token.calls_per_minute
        message.quota.ids_per_minute = token.ids_per_minute
    message.create_time.FromDatetime(token.created_at)
    if token.expires_at is not None:
        message.expire_time.FromDatetime(token.expires_at)
    if token.revoked_at is not None:
        message.revoke_time.FromDatetime(token.revoked_at)
    return message
