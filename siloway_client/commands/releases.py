"""`siloway release` and `siloway project`: what CI jobs and deploy tools record."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from siloway_client import output
from siloway_client.options import FirstRegion, Json, Organization, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Releases and their commits.")
project_app = typer.Typer(no_args_is_help=True, help="Projects.")

State = release_pb.Release.State
Version = Annotated[str, typer.Argument(help="The version, for example shop@1.2.0.")]


@app.command()
def create(
    context: typer.Context,
    organization: Organization,
    version: Version,
    project: Annotated[list[str], typer.Option("--project", "-p", help="A project's id or slug; may be repeated.")],
    ref: Annotated[str, typer.Option(help="A branch, tag or commit.")] = "",
    url: Annotated[str, typer.Option(help="Where people read about it.")] = "",
    owner: Annotated[str, typer.Option(help="The id of the user that answers for it.")] = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make a release, or attach more projects to one that exists."""
    request = release_pb.CreateReleaseRequest(
        parent=f"organizations/{organization}",
        release=release_pb.Release(version=version, ref=ref, url=url, owner=_user(owner)),
        projects=project,
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.CreateRelease(request))
    if json_output:
        output.as_json(answer)
    else:
        output.say("existed already" if answer.already_existed else "created")
        show(answer.release)


@app.command()
def get(
    context: typer.Context,
    organization: Organization,
    version: Version,
    full: Annotated[bool, typer.Option("--full", help="With its projects, authors and files.")] = False,
    project: Annotated[str, typer.Option(help="With --full: the releases around it in this project.")] = "",
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """Show a release."""
    if project and not full:
        raise typer.BadParameter("--project goes with --full")
    request = release_pb.GetReleaseRequest(name=_name(organization, version), project=project)
    if full:
        request.view = release_pb.RELEASE_VIEW_FULL
        request.adoption_stages = True
    with session(context).targets().router(region) as router:
        found = router.call(organization, lambda client: client.releases.GetRelease(request))
    if json_output:
        output.as_json(found)
    else:
        show(found)
        _show_facts(found)


@app.command("list")
def list_releases(
    context: typer.Context,
    organization: Organization,
    project: Annotated[str, typer.Option(help="Only releases of this project.")] = "",
    query: Annotated[str, typer.Option(help="For example: release.version:>=1.2 finalized:true text")] = "",
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones instead of open ones.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Open and archived ones.")] = False,
    order_by: Annotated[str, typer.Option(help="date, build, semver or adoption.")] = "",
    environment: Annotated[list[str] | None, typer.Option(help="Only of this one; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List releases, newest first unless another order is asked for."""
    request = release_pb.ListReleasesRequest(
        parent=f"organizations/{organization}",
        page_size=limit,
        state=State.STATE_UNSPECIFIED if every else State.STATE_ARCHIVED if archived else State.STATE_OPEN,
        project=project,
        query=query,
        order_by=order_by,
        environments=environment or (),
        all_states=every,
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.ListReleases(request))
    if json_output:
        output.as_json(answer.releases)
    else:
        rows = [
            (r.version, r.commit_count, output.when(r.release_time), output.when(r.create_time))
            for r in answer.releases
        ]
        output.table(("version", "commits", "released", "created"), rows)


@app.command()
def update(
    context: typer.Context,
    organization: Organization,
    version: Version,
    ref: Annotated[str | None, typer.Option(help="A branch, tag or commit; empty clears it.")] = None,
    url: Annotated[str | None, typer.Option(help="Where people read about it; empty clears it.")] = None,
    released: Annotated[str | None, typer.Option(help="now, an ISO 8601 time, or empty to clear it.")] = None,
    state: Annotated[str | None, typer.Option(help="open or archived.")] = None,
    owner: Annotated[str | None, typer.Option(help="The id of a user; empty clears it.")] = None,
    commits: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A JSON array of commits; replaces all commits of the release."),
    ] = None,
    etag: Annotated[str, typer.Option(help="Refuse when the release has changed since this etag.")] = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Change a release. Only what is given is touched."""
    release = release_pb.Release(
        name=_name(organization, version), ref=ref or "", url=url or "", owner=_user(owner), etag=etag
    )
    if released:
        release.release_time.CopyFrom(_time(released))
    if state is not None:
        release.state = _state(state)
    given = (("ref", ref), ("url", url), ("release_time", released), ("state", state), ("owner", owner))
    paths = [path for path, value in given if value is not None]
    if not paths and commits is None:
        raise typer.BadParameter("give at least one of --ref, --url, --released, --state, --owner, --commits")
    request = release_pb.UpdateReleaseRequest(
        release=release, update_mask=FieldMask(paths=paths), request_id=request_id_of(request_id)
    )
    if commits is not None:
        request.commits.CopyFrom(read_commits(commits))
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.UpdateRelease(request))
    if json_output:
        output.as_json(answer)
    else:
        show(answer)


@app.command()
def delete(
    context: typer.Context,
    organization: Organization,
    version: Version,
    etag: Annotated[str, typer.Option(help="Refuse when the release has changed since this etag.")] = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
) -> None:
    """Delete a release that no issue was first seen in and that has no health data."""
    request = release_pb.DeleteReleaseRequest(
        name=_name(organization, version), etag=etag, request_id=request_id_of(request_id)
    )
    with session(context).targets().router(region) as router:
        router.call(organization, lambda client: client.releases.DeleteRelease(request))
    output.say(f"deleted {version}")


@app.command("parse-version")
def parse_version(
    context: typer.Context,
    version: Version,
    other: Annotated[str, typer.Argument(help="Another version to compare with.")] = "",
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """Take a version apart, say which rules it breaks, and where it stands beside another one."""
    request = release_pb.ParseVersionRequest(version=version, other_version=other)
    targets = session(context).targets()
    with targets.region(region or targets.region_names()[0]) as client:
        parsed = client.releases.ParseVersion(request)
    if json_output:
        output.as_json(parsed)
        return
    info = parsed.version_info
    output.say(f"{info.package}: {info.description}" if parsed.HasField("version_info") else "has no numbers")
    for rule in parsed.broken_rules:
        output.say(f"  {rule}")
    if other:
        comparison = release_pb.ParseVersionResponse.Comparison.Name(parsed.comparison)
        output.say(f"  {comparison.removeprefix('COMPARISON_').lower()} beside {other}")


@app.command("commits")
def list_commits(
    context: typer.Context,
    organization: Organization,
    version: Version,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List a release's commits, newest first."""
    request = release_pb.ListReleaseCommitsRequest(parent=_name(organization, version), page_size=limit)
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.ListReleaseCommits(request))
    if json_output:
        output.as_json(answer.commits)
    else:
        rows = [(c.id[:12], c.repository, c.author_email, c.message.split("\n")[0][:60]) for c in answer.commits]
        output.table(("commit", "repository", "author", "message"), rows)


@project_app.command("create")
def create_project(
    context: typer.Context,
    organization: Organization,
    display_name: Annotated[str, typer.Argument(help="The name that people read.")],
    slug: Annotated[str, typer.Option(help="Made from the name by default.")] = "",
    platform: Annotated[str, typer.Option(help="For example python.")] = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make a project."""
    request = project_pb.CreateProjectRequest(
        parent=f"organizations/{organization}",
        project=project_pb.Project(display_name=display_name, slug=slug, platform=platform),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().router(region) as router:
        made = router.call(organization, lambda client: client.projects.CreateProject(request))
    if json_output:
        output.as_json(made)
    else:
        output.say(f"{made.name}: {made.slug} ({made.display_name})")


@project_app.command("list")
def list_projects(
    context: typer.Context,
    organization: Organization,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List the projects of an organization."""
    request = project_pb.ListProjectsRequest(parent=f"organizations/{organization}", page_size=limit)
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.projects.ListProjects(request))
    if json_output:
        output.as_json(answer.projects)
    else:
        output.table(("id", "slug", "name"), [(p.uid, p.slug, p.display_name) for p in answer.projects])


def show(release: release_pb.Release) -> None:
    """Tell one release in text."""
    state = State.Name(release.state).removeprefix("STATE_").lower()
    output.say(f"{release.name}: {state}, released {output.when(release.release_time)}, {release.commit_count} commits")
    for label, value in (("ref", release.ref), ("url", release.url), ("authors", ", ".join(release.authors))):
        if value:
            output.say(f"  {label}: {value}")
    for head in release.heads:
        output.say(f"  {head.repository}: {head.commit_id}")


def _show_facts(release: release_pb.Release) -> None:
    for fact in release.project_facts:
        stage = release.adoption_stages[fact.slug].stage
        told = release_pb.AdoptionStage.Stage.Name(stage).removeprefix("STAGE_").lower().replace("_", " ")
        output.say(f"  project {fact.slug}: {fact.new_issue_count} new issues, {told}")
    if release.HasField("current_project_meta"):
        near = release.current_project_meta
        output.say(f"  between {near.previous_release_version or '-'} and {near.next_release_version or '-'}")


def read_commits(path: Path) -> release_pb.CommitSet:
    """A JSON array of objects with the fields of CommitSpec. Raises typer.BadParameter naming what is wrong."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, list):
            raise typer.BadParameter(f"{path} must hold a JSON array of commits")
        return json_format.ParseDict({"commits": content}, release_pb.CommitSet())
    except (ValueError, json_format.ParseError) as error:
        raise typer.BadParameter(f"{path}: {error}") from error


def _time(text: str) -> Timestamp:
    timestamp = Timestamp()
    if text == "now":
        timestamp.FromDatetime(datetime.now(UTC))
        return timestamp
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"--released: {text!r} is neither now nor an ISO 8601 time") from error
    timestamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return timestamp


def _state(text: str) -> State.ValueType:
    try:
        return {"open": State.STATE_OPEN, "archived": State.STATE_ARCHIVED}[text]
    except KeyError:
        raise typer.BadParameter(f"--state must be open or archived, not {text!r}") from None


def _user(user_id: str | None) -> str:
    return f"users/{user_id}" if user_id else ""


def _name(organization: str, version: str) -> str:
    return f"organizations/{organization}/releases/{version}"
