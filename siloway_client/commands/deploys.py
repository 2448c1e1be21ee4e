"""`siloway release deploy`, `siloway deploys`, `environments` and `announcements`: where releases went, and who is to
hear of it.
"""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import announcement_service_pb2 as announcement_pb
from siloway.region.v1 import deploy_service_pb2 as deploy_pb

from siloway_client import output
from siloway_client.options import FirstRegion, Json, Organization, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Deploys of a release; `release deploy` makes one.")
environments_app = typer.Typer(no_args_is_help=True, help="Where releases go to.")
announcements_app = typer.Typer(no_args_is_help=True, help="What integrations are to hear of, each thing once.")

Version = Annotated[str, typer.Argument(help="The version, for example shop@1.2.0.")]
_KIND = "KIND_"
_WORDS = [name.removeprefix(_KIND).lower() for name in announcement_pb.Announcement.Kind.keys()[1:]]


def deploy(
    context: typer.Context,
    organization: Organization,
    version: Version,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Where it goes to.")] = "",
    project: Annotated[
        list[str] | None, typer.Option("--project", "-p", help="A project's id or slug; all of the release by default.")
    ] = None,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    url: Annotated[str, typer.Option(help="Where people read about it.")] = "",
    started: Annotated[str, typer.Option(help="now, or an ISO 8601 time.")] = "",
    finished: Annotated[str, typer.Option(help="An ISO 8601 time; now by default.")] = "",
    running: Annotated[bool, typer.Option("--running", help="It has not finished yet; see --finish.")] = False,
    finish: Annotated[str, typer.Option(help="The id of a running deploy that has finished.", metavar="ID")] = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Record that a release went to an environment, or that a running deploy has finished."""
    if bool(finish) == bool(environment):
        raise typer.BadParameter("give either --environment or --finish")
    if finish and (running or project):
        raise typer.BadParameter("--finish goes with neither --running nor --project")
    told = deploy_pb.Deploy(environment=environment, display_name=name, url=url)
    if started:
        told.start_time.CopyFrom(_time("--started", started))
    if finished or finish:
        told.finish_time.CopyFrom(_time("--finished", finished or "now"))
    with session(context).targets().router(region) as router:
        if finish:
            told.name = f"{_release(organization, version)}/deploys/{finish}"
            given = (("display_name", name), ("url", url), ("start_time", started), ("finish_time", finish))
            mask = FieldMask(paths=[path for path, value in given if value])
            update = deploy_pb.UpdateDeployRequest(deploy=told, update_mask=mask, request_id=request_id_of(request_id))
            made = router.call(organization, lambda client: client.deploys.UpdateDeploy(update))
        else:
            create = deploy_pb.CreateDeployRequest(
                parent=_release(organization, version),
                deploy=told,
                projects=project or [],
                running=running,
                request_id=request_id_of(request_id),
            )
            made = router.call(organization, lambda client: client.deploys.CreateDeploy(create))
    if json_output:
        output.as_json(made)
    else:
        output.say(f"{made.name}: {made.environment}, {_life(made)}")


@app.command("list")
def list_deploys(
    context: typer.Context,
    organization: Organization,
    version: Version,
    latest: Annotated[bool, typer.Option("--latest", help="Only the latest of each project and environment.")] = False,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Only this environment.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List the deploys of a release: those that run, then the newest finish first."""
    request = deploy_pb.ListDeploysRequest(
        parent=_release(organization, version), page_size=limit, latest_only=latest, environment=environment
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.deploys.ListDeploys(request))
    if json_output:
        output.as_json(answer.deploys)
    else:
        rows = [
            (d.uid, d.environment, d.display_name, output.when(d.start_time), output.when(d.finish_time), _life(d))
            for d in answer.deploys
        ]
        output.table(("id", "environment", "name", "started", "finished", "state"), rows)


@environments_app.command("list")
def list_environments(
    context: typer.Context,
    organization: Organization,
    project: Annotated[str, typer.Option("--project", "-p", help="Only those of this project, by id or slug.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List the environments of an organization by name."""
    request = deploy_pb.ListEnvironmentsRequest(
        parent=f"organizations/{organization}", page_size=limit, project=project
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.deploys.ListEnvironments(request))
    if json_output:
        output.as_json(answer.environments)
    else:
        rows = [(each.name.rpartition("/")[2], each.display_name) for each in answer.environments]
        output.table(("id", "name"), rows)


@announcements_app.command("list")
def list_announcements(
    context: typer.Context,
    organization: Organization,
    after: Annotated[int, typer.Option(min=0, help="Only those behind this number.")] = 0,
    kind: Annotated[str, typer.Option(help=f"Only this kind: {', '.join(_WORDS)}.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json_output: Json = False,
) -> None:
    """List what regions have announced, in the order in which control got it."""
    if kind and kind not in _WORDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(_WORDS)}", param_hint="--kind")
    request = announcement_pb.ListAnnouncementsRequest(
        parent=f"organizations/{organization}", page_size=limit, after=after
    )
    if kind:
        request.kind = announcement_pb.Announcement.Kind.Value(f"{_KIND}{kind.upper()}")
    with session(context).targets().control() as control:
        found = control.announcements.ListAnnouncements(request).announcements
    if json_output:
        output.as_json(found)
        return
    rows = [
        (
            each.number,
            announcement_pb.Announcement.Kind.Name(each.kind).removeprefix(_KIND).lower(),
            each.region,
            output.when(each.create_time),
            each.payload_json,
        )
        for each in found
    ]
    output.table(("number", "kind", "region", "came", "told"), rows)


def _life(told: deploy_pb.Deploy) -> str:
    if not told.HasField("finish_time"):
        return "running"
    return "announced" if told.HasField("announce_time") else "waits for commits"


def _time(option: str, text: str) -> Timestamp:
    timestamp = Timestamp()
    if text == "now":
        timestamp.FromNanoseconds(time.time_ns())
        return timestamp
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {text!r} is neither now nor an ISO 8601 time") from error
    timestamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return timestamp


def _release(organization: str, version: str) -> str:
    return f"organizations/{organization}/releases/{version}"
