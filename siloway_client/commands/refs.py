"""`siloway release set-refs`, `fetches` and `compare`: heads of repositories, and what lies between two releases."""

from typing import Annotated

import typer
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from siloway_client import output
from siloway_client.commands.releases import Version, show
from siloway_client.options import FirstRegion, Json, Organization, RequestId, request_id_of, session

_KEY_SHOWN = 12


def add_to(app: typer.Typer) -> None:
    """Make these commands some of `siloway release`."""
    app.command("set-refs")(set_refs)
    app.command("fetches")(list_fetches)
    app.command("compare")(compare)


def set_refs(
    context: typer.Context,
    organization: Organization,
    version: Version,
    ref: Annotated[
        list[str],
        typer.Option(
            "--ref", help="repository@commit, or repository@from..to; may be repeated, the last one is the head."
        ),
    ],
    environment: Annotated[str, typer.Option(help="Begin at the release before in this environment.")] = "",
    without_fetch: Annotated[bool, typer.Option("--without-fetch", help="Set the heads only.")] = False,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Set the heads of a release's repositories, and have the commits since the release before fetched."""
    request = release_pb.SetRefsRequest(
        release=_name(organization, version),
        refs=commits_pb.RefSet(refs=[_ref(each) for each in ref]),
        without_fetch=without_fetch,
        environment=environment,
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.SetRefs(request))
    if json_output:
        output.as_json(answer)
        return
    show(answer.release)
    if answer.HasField("fetch"):
        _show_fetch(answer.fetch)


def list_fetches(
    context: typer.Context,
    organization: Organization,
    version: Version,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List what was asked to be fetched for a release, newest first, and what became of it."""
    request = release_pb.ListCommitFetchesRequest(parent=_name(organization, version), page_size=limit)
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.ListCommitFetches(request))
    if json_output:
        output.as_json(answer.commit_fetches)
        return
    for fetch in answer.commit_fetches:
        _show_fetch(fetch)
    if not answer.commit_fetches:
        output.say("(none)")


def compare(
    context: typer.Context,
    organization: Organization,
    base: Annotated[str, typer.Argument(metavar="BASE", help="The version that it is compared with.")],
    version: Version,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """Show the commits that a release has and the base has not, newest first."""
    request = release_pb.CompareReleasesRequest(
        release=_name(organization, version), base_release=_name(organization, base), page_size=limit
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.CompareReleases(request))
    if json_output:
        output.as_json(answer)
        return
    output.say(f"{answer.commit_count} commits, {answer.file_count} files")
    for head in answer.heads:
        output.say(f"  {head.repository}: {head.base_commit_id or '-'} .. {head.commit_id or '-'}")
    rows = [
        (each.id[:_KEY_SHOWN], each.repository, each.author_email, len(each.files), each.message.split("\n")[0][:60])
        for each in answer.commits
    ]
    output.table(("commit", "repository", "author", "files", "message"), rows)


def _show_fetch(fetch: commits_pb.CommitFetch) -> None:
    state = commits_pb.CommitFetch.State.Name(fetch.state).removeprefix("STATE_").lower()
    output.say(f"{fetch.name}: {state}, {fetch.commit_count} commits, tried {fetch.attempt_count} times")
    output.say(f"  {fetch.previous_release_reason}")
    for ref in fetch.refs:
        told = f"{ref.error_reason} ({ref.error_message})" if ref.error_reason else f"{ref.commit_count} commits"
        output.say(f"  {ref.repository}: {ref.previous_commit or '-'} .. {ref.commit}: {told if ref.done else 'waits'}")


def _ref(text: str) -> commits_pb.Ref:
    repository, at, commit = text.rpartition("@")
    if not (repository and at and commit):
        raise typer.BadParameter(f"--ref must read repository@commit, not {text!r}")
    return commits_pb.Ref(repository=repository, commit=commit)


def _name(organization: str, version: str) -> str:
    return f"organizations/{organization}/releases/{version}"
