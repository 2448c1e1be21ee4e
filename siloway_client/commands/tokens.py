"""`siloway tokens create|list|revoke`: control's tokens by calls, from anywhere; `mint` is for control's machine."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from siloway.control.v1 import token_service_pb2 as token_pb

from siloway_client import output
from siloway_client.commands.local import tokens_app
from siloway_client.options import Json, RequestId, request_id_of, session

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_QUOTA_MAX = 10_000_000

app = tokens_app

Token = Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id (not its secret).")]


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What people call it.")],
    scope: Annotated[list[str], typer.Option("--scope", help="For example project:releases; may be repeated.")],
    audience: Annotated[
        list[str] | None, typer.Option("--audience", help="A silo's name; may be repeated; all silos by default.")
    ] = None,
    organization: Annotated[str, typer.Option(help="Id or slug of the only organization that it may touch.")] = "",
    user: Annotated[str, typer.Option(help="Id of the user that it acts for.")] = "",
    expires_in: Annotated[str, typer.Option(help="For example 12h or 30d; never by default.")] = "",
    calls_per_minute: Annotated[int, typer.Option(min=0, max=_QUOTA_MAX, help="In each silo; 0 is no limit.")] = 0,
    ids_per_minute: Annotated[int, typer.Option(min=0, max=_QUOTA_MAX, help="In each region; 0 is no limit.")] = 0,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make a token and print its secret, which is shown only here."""
    token = token_pb.Token(
        display_name=name,
        scopes=scope,
        audience=audience or ["*"],
        organization=f"organizations/{organization}" if organization else "",
        user=f"users/{user}" if user else "",
    )
    if expires_in:
        token.expire_time.FromDatetime(datetime.now(UTC) + _period(expires_in))
    if calls_per_minute or ids_per_minute:
        token.quota.calls_per_minute = calls_per_minute
        token.quota.ids_per_minute = ids_per_minute
    request = token_pb.CreateTokenRequest(token=token, request_id=request_id_of(request_id))
    with session(context).targets().control() as client:
        made = client.tokens.CreateToken(request)
    if json_output:
        output.as_json(made)
    elif made.secret:
        output.say(made.secret)
    else:
        output.complain(f"{made.name} exists, its secret was shown before; if it is lost, revoke it and make another")


@app.command("list")
def list_tokens(
    context: typer.Context,
    organization: Annotated[str, typer.Option(help="Only tokens of this organization, by id or slug.")] = "",
    user: Annotated[str, typer.Option(help="Only tokens that act for this user, by id.")] = "",
    revoked: Annotated[bool, typer.Option("--revoked", help="Also those that were revoked.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json_output: Json = False,
) -> None:
    """List tokens by id, without their secrets."""
    request = token_pb.ListTokensRequest(
        page_size=limit,
        organization=f"organizations/{organization}" if organization else "",
        user=f"users/{user}" if user else "",
        show_revoked=revoked,
    )
    with session(context).targets().control() as client:
        answer = client.tokens.ListTokens(request)
    if json_output:
        output.as_json(answer.tokens)
        return
    columns = ("id", "name", "for", "scopes", "silos", "expires", "revoked")
    output.table(columns, (_row(token) for token in answer.tokens))
    if answer.next_page_token:
        output.say("there are more: raise --limit")


@app.command()
def revoke(context: typer.Context, token: Token, request_id: RequestId = None, json_output: Json = False) -> None:
    """End a token for good; every connected region refuses it within two seconds."""
    request = token_pb.RevokeTokenRequest(name=f"tokens/{token}", request_id=request_id_of(request_id))
    with session(context).targets().control() as client:
        ended = client.tokens.RevokeToken(request)
    if json_output:
        output.as_json(ended)
    else:
        output.say(f"{ended.name} ({ended.display_name}) revoked {output.when(ended.revoke_time)}")


def _row(token: token_pb.Token) -> tuple[str, ...]:
    bound = " ".join(filter(None, (token.organization, token.user))) or "-"
    return (
        token.uid,
        token.display_name,
        bound,
        " ".join(token.scopes),
        " ".join(token.audience),
        output.when(token.expire_time),
        output.when(token.revoke_time),
    )


def _period(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter("must be a number with s, m, h or d, for example 30d", param_hint="--expires-in")
    return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
