"""`siloway regions`: which regions there are, which of them get new organizations, and giving one up that is lost."""

from typing import Annotated

import typer
from siloway.control.v1 import recovery_service_pb2 as recovery_pb
from siloway.control.v1 import region_service_pb2 as region_pb

from siloway_client import output
from siloway_client.options import Json, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="The regions, and which of them get new organizations.")

Name = Annotated[str, typer.Argument(metavar="REGION", help="The region's name, for example us.")]


@app.command("list")
def list_regions(context: typer.Context, json_output: Json = False) -> None:
    """List all regions: number, state, how many organizations, address."""
    with session(context).targets().control() as control:
        regions = control.regions.ListRegions(region_pb.ListRegionsRequest()).regions
    if json_output:
        output.as_json(regions)
    else:
        rows = [
            (_short(r), r.number, _word(r), r.organization_count, r.public_address, output.when(r.update_time))
            for r in regions
        ]
        output.table(("region", "number", "state", "organizations", "address", "changed"), rows)


@app.command()
def get(context: typer.Context, name: Name, json_output: Json = False) -> None:
    """Show one region."""
    with session(context).targets().control() as control:
        found = control.regions.GetRegion(region_pb.GetRegionRequest(name=_long(name)))
    _show(found, json_output)


@app.command()
def drain(context: typer.Context, name: Name, request_id: RequestId = None, json_output: Json = False) -> None:
    """Keep new organizations away from a region; what it has is served as before. Needs the scope silo:operate.

    Provisioning into it is refused; an import waits before its slugs are reserved, until the region is undrained.
    """
    request = region_pb.DrainRegionRequest(name=_long(name), request_id=request_id_of(request_id))
    with session(context).targets().control() as control:
        found = control.regions.DrainRegion(request)
    _show(found, json_output)


@app.command()
def undrain(context: typer.Context, name: Name, request_id: RequestId = None, json_output: Json = False) -> None:
    """Let a region have new organizations again. Needs the scope silo:operate."""
    request = region_pb.UndrainRegionRequest(name=_long(name), request_id=request_id_of(request_id))
    with session(context).targets().control() as control:
        found = control.regions.UndrainRegion(request)
    _show(found, json_output)


@app.command("declare-lost")
def declare_lost(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Give up a region that will not come back, or not soon. Needs the scope silo:operate.

    The slugs that are held for it are free at once, changes that wait for it fail with REGION_LOST, and control refuses
    its calls until `recover`. What it has already stays mapped to it.
    """
    region = name.removeprefix("regions/")
    if not yes:
        typer.confirm(f"Free everything that is held for region {region}, and refuse its calls?", abort=True, err=True)
    request = recovery_pb.DeclareRegionLostRequest(region=region, request_id=request_id_of(request_id))
    with session(context).targets().control() as control:
        done = control.recovery.DeclareRegionLost(request)
    _show_recovery(done, json_output)


@app.command()
def recover(context: typer.Context, name: Name, request_id: RequestId = None, json_output: Json = False) -> None:
    """Let a lost region call again, after its data was compared with control's. Needs the scope silo:operate."""
    region = name.removeprefix("regions/")
    request = recovery_pb.RecoverRegionRequest(region=region, request_id=request_id_of(request_id))
    with session(context).targets().control() as control:
        done = control.recovery.RecoverRegion(request)
    _show_recovery(done, json_output)


def _show_recovery(done: recovery_pb.RegionRecovery, json_output: bool) -> None:
    if json_output:
        output.as_json(done)
        return
    if not done.HasField("lost_time"):
        output.say(f"regions/{done.region} is there: it may call control again")
        return
    output.say(
        f"regions/{done.region}: lost since {output.when(done.lost_time)},"
        f" {done.released_slug_count} slugs freed, {done.skipped_message_count} messages skipped, fence {done.fence}"
    )


def _show(region: region_pb.Region, json_output: bool) -> None:
    if json_output:
        output.as_json(region)
        return
    output.say(
        f"{region.name}: {_word(region)}, number {region.number}, {region.organization_count} organizations,"
        f" at {region.public_address}, changed {output.when(region.update_time)}"
    )


def _word(region: region_pb.Region) -> str:
    return region_pb.Region.State.Name(region.state).removeprefix("STATE_").lower()


def _short(region: region_pb.Region) -> str:
    return region.name.removeprefix("regions/")


def _long(name: str) -> str:
    return name if name.startswith("regions/") else f"regions/{name}"
