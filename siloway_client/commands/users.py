"""`siloway users`: the people of all silos, kept by control."""

from typing import Annotated

import typer
from siloway.control.v1 import user_service_pb2 as user_pb

from siloway_client import output
from siloway_client.options import Json, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Users.")

User = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]


@app.command()
def create(
    context: typer.Context,
    username: Annotated[str, typer.Argument(help="Unique, ignoring case.")],
    name: Annotated[str, typer.Option(help="The name that people read.")] = "",
    email: Annotated[str, typer.Option(help="Where the user is reached.")] = "",
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make a user."""
    user = user_pb.User(username=username, display_name=name, email=email)
    request = user_pb.CreateUserRequest(user=user, request_id=request_id_of(request_id))
    with session(context).targets().control() as client:
        _show([client.users.CreateUser(request)], json_output)


@app.command()
def get(context: typer.Context, user: User, json_output: Json = False) -> None:
    """Show a user."""
    with session(context).targets().control() as client:
        _show([client.users.GetUser(user_pb.GetUserRequest(name=f"users/{user}"))], json_output)


@app.command("list")
def list_users(
    context: typer.Context,
    username: Annotated[str, typer.Option(help="Only the user of this name, ignoring case.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json_output: Json = False,
) -> None:
    """List users by id."""
    with session(context).targets().control() as client:
        answer = client.users.ListUsers(user_pb.ListUsersRequest(page_size=limit, username=username))
    if json_output:
        output.as_json(answer.users)
        return
    _show(list(answer.users), json_output=False)
    if answer.next_page_token:
        output.say("there are more: raise --limit")


@app.command()
def suspend(context: typer.Context, user: User, request_id: RequestId = None, json_output: Json = False) -> None:
    """From now on every silo refuses the user's tokens."""
    request = user_pb.SuspendUserRequest(name=f"users/{user}", request_id=request_id_of(request_id))
    with session(context).targets().control() as client:
        _show([client.users.SuspendUser(request)], json_output)


@app.command()
def unsuspend(context: typer.Context, user: User, request_id: RequestId = None, json_output: Json = False) -> None:
    """Take a suspension back; the user's tokens count again."""
    request = user_pb.UnsuspendUserRequest(name=f"users/{user}", request_id=request_id_of(request_id))
    with session(context).targets().control() as client:
        _show([client.users.UnsuspendUser(request)], json_output)


@app.command("organizations")
def list_organizations(
    context: typer.Context,
    user: User,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json_output: Json = False,
) -> None:
    """List the organizations that a user is a member of, with their regions."""
    request = user_pb.ListUserOrganizationsRequest(parent=f"users/{user}", page_size=limit)
    with session(context).targets().control() as client:
        answer = client.users.ListUserOrganizations(request)
    if json_output:
        output.as_json(answer.user_organizations)
        return
    rows = ((each.organization, each.slug or "-", each.region, each.role) for each in answer.user_organizations)
    output.table(("organization", "slug", "region", "role"), rows)
    if answer.next_page_token:
        output.say("there are more: raise --limit")


def _show(users: list[user_pb.User], json_output: bool) -> None:
    """One user as JSON, or a table."""
    if json_output:
        output.as_json(users[0])
        return
    columns = ("id", "username", "name", "e-mail", "state", "since")
    output.table(columns, (_row(user) for user in users))


def _row(user: user_pb.User) -> tuple[str, ...]:
    state = user_pb.User.State.Name(user.state).removeprefix("STATE_").lower()
    return (user.uid, user.username, user.display_name, user.email or "-", state, output.when(user.create_time))
