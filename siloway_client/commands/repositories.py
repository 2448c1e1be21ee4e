"""`siloway repositories`: where commits come from."""

from typing import Annotated

import typer
from siloway.region.v1 import repository_service_pb2 as repository_pb

from siloway_client import output
from siloway_client.options import FirstRegion, Json, Organization, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Repositories of source code.")

State = repository_pb.Repository.State


@app.command()
def create(
    context: typer.Context,
    organization: Organization,
    name: Annotated[str, typer.Argument(help="What commits and refs call it.")],
    url: Annotated[str, typer.Option(help="Where people look at it.")] = "",
    provider: Annotated[str, typer.Option(help="What fetches its commits, for example local-git.")] = "",
    external_id: Annotated[str, typer.Option(help="What the provider calls it.")] = "",
    setting: Annotated[
        list[str] | None, typer.Option("--setting", help="What the provider needs, as key=value; may be repeated.")
    ] = None,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make a repository."""
    request = repository_pb.CreateRepositoryRequest(
        parent=f"organizations/{organization}",
        repository=repository_pb.Repository(
            display_name=name,
            url=url,
            provider=provider,
            external_id=external_id,
            provider_settings=_settings(setting or []),
        ),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        made = router.call(organization, lambda client: client.repositories.CreateRepository(request))
    _show(made, json_output=json_output)


@app.command("list")
def list_repositories(
    context: typer.Context,
    organization: Organization,
    query: Annotated[str, typer.Option(help="Only names that hold this text.")] = "",
    hidden: Annotated[bool, typer.Option("--hidden", help="Hidden ones instead of active ones.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List repositories by name."""
    request = repository_pb.ListRepositoriesRequest(
        parent=f"organizations/{organization}",
        page_size=limit,
        query=query,
        state=State.STATE_HIDDEN if hidden else State.STATE_ACTIVE,
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.repositories.ListRepositories(request))
    if json_output:
        output.as_json(answer.repositories)
    else:
        rows = [(_id(each), each.display_name, each.provider, each.url) for each in answer.repositories]
        output.table(("id", "name", "provider", "url"), rows)


@app.command()
def get(
    context: typer.Context,
    organization: Organization,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="The repository's id.")],
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """Show a repository."""
    request = repository_pb.GetRepositoryRequest(name=f"organizations/{organization}/repositories/{repository}")
    with session(context).targets().router(region) as router:
        found = router.call(organization, lambda client: client.repositories.GetRepository(request))
    _show(found, json_output=json_output)


def _show(repository: repository_pb.Repository, *, json_output: bool) -> None:
    if json_output:
        output.as_json(repository)
        return
    state = State.Name(repository.state).removeprefix("STATE_").lower()
    output.say(f"{repository.name}: {repository.display_name}, {state}, provider {repository.provider or 'none'}")
    if repository.url:
        output.say(f"  url: {repository.url}")
    for key, value in sorted(repository.provider_settings.items()):
        output.say(f"  {key}: {value}")


def _settings(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    for text, (key, equals, _) in zip(given, pairs, strict=True):
        if not (key and equals):
            raise typer.BadParameter(f"--setting must read key=value, not {text!r}")
    return {key: value for key, _, value in pairs}


def _id(repository: repository_pb.Repository) -> str:
    return repository.name.rpartition("/")[2]
