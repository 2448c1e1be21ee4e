"""`siloway export` and `siloway exports`: ask for a file, wait until it is built, take it; stdout gets it alone."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from siloway.region.v1 import export_service_pb2 as export_pb

from siloway_client import downloads, output
from siloway_client.client import RegionClient
from siloway_client.encryption import encrypt_into
from siloway_client.filters import names_of, values_of
from siloway_client.findings_file import FindingsFile, refusals_written, write_export
from siloway_client.option_groups import grouped
from siloway_client.options import (
    Json,
    NoPrompt,
    Region,
    RequestId,
    Silent,
    checked_destination,
    request_id_of,
    resource_name,
    session,
    set_voice,
)
from siloway_client.refusal import refusal_of

POLL_S = 0.25
LOST_MAX_S = 30.0
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
run_app = typer.Typer(no_args_is_help=True, help="Export to a file that `siloway import` takes.")
app = typer.Typer(no_args_is_help=True, help="Exports that were asked for.")

Scope = export_pb.DataExport.Scope
State = export_pb.DataExport.State
_WAITING = (State.STATE_QUEUED, State.STATE_BUILDING)
_STDOUT = "-"
_KEY_BYTES_MAX = 64 << 10


def _checked(destination: str) -> str:
    checked_destination(None if destination == _STDOUT else Path(destination))
    return destination


def _public_key(path: Path | None) -> Path | None:
    """Told before an export is built; whether it is a key at all is found by those who use it."""
    if path is not None:
        with path.open("rb") as file:
            if b" PUBLIC KEY-----" not in file.read(_KEY_BYTES_MAX):
                raise typer.BadParameter(f"{path} holds no public key in PEM form")
    return path


Destination = Annotated[
    str, typer.Argument(metavar="DEST", callback=_checked, help="The file to write; - is standard output.")
]
Indent = Annotated[
    int | None, typer.Option(min=0, max=16, help="Spaces a level; an object a line by default, and when encrypted.")
]
EncryptWith = Annotated[
    Path | None,
    typer.Option(
        "--encrypt-with",
        exists=True,
        dir_okay=False,
        callback=_public_key,
        help="An RSA public key (PEM): the file is encrypted on this machine for the owner of the key.",
    ),
]
WaitMax = Annotated[float, typer.Option("--wait-max", help="Give up waiting after this many seconds.", min=1)]
Identifier = Annotated[str, typer.Argument(metavar="ID", help="The export's id, or exports/ID.")]
Usernames = Annotated[
    str | None, typer.Option("--filter-usernames", help="Only these users, between commas.", metavar="NAMES")
]
UsernamesFile = Annotated[
    Path | None,
    typer.Option("--filter-usernames-file", help="Only the users that this file names.", exists=True, dir_okay=False),
]
Slugs = Annotated[
    str | None,
    typer.Option("--filter-org-slugs", help="Only these organizations and their members, between commas."),
]


class ExportFailed(Exception):
    """The export ended without a file, or not within the time; the text says how to go on."""


@dataclass(frozen=True)
class How:
    """What all ways to export share."""

    region: Region = "us"
    indent: Indent = None
    encrypt_with: EncryptWith = None
    wait_max: WaitMax = 3600
    request_id: RequestId = None
    findings_file: FindingsFile = None
    no_prompt: NoPrompt = False
    silent: Silent = False


@run_app.command("organizations")
@grouped
def export_organizations(
    context: typer.Context, how: How, destination: Destination = _STDOUT, filter_org_slugs: Slugs = None
) -> None:
    """Export organizations with their users. Needs silo:operate, or org:admin of a token that is bound to one."""
    wish = export_pb.CreateExportRequest(scope=Scope.SCOPE_ORGANIZATION)
    slugs = values_of(filter_org_slugs)
    if slugs is not None:
        wish.organization_slugs.CopyFrom(export_pb.DataExport.Filter(values=slugs))
    _export(context, wish, destination, how)


@run_app.command("users")
@grouped
def export_users(
    context: typer.Context,
    how: How,
    destination: Destination = _STDOUT,
    filter_usernames: Usernames = None,
    filter_usernames_file: UsernamesFile = None,
) -> None:
    """Export users. Needs silo:operate."""
    wish = export_pb.CreateExportRequest(scope=Scope.SCOPE_USER)
    names = names_of(filter_usernames, filter_usernames_file)
    if names is not None:
        wish.usernames.CopyFrom(export_pb.DataExport.Filter(values=names))
    _export(context, wish, destination, how)


@run_app.command("config")
@grouped
def export_config(context: typer.Context, how: How, destination: Destination = _STDOUT) -> None:
    """Export the configuration and the users with power over the installation. Needs silo:operate."""
    _export(context, export_pb.CreateExportRequest(scope=Scope.SCOPE_CONFIG), destination, how)


@run_app.command("global")
@grouped
def export_global(context: typer.Context, how: How, destination: Destination = _STDOUT) -> None:
    """Export everything of the region and of control. Needs silo:operate."""
    _export(context, export_pb.CreateExportRequest(scope=Scope.SCOPE_GLOBAL), destination, how)


@app.command("list")
def list_exports(
    context: typer.Context,
    region: Region = "us",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json_output: Json = False,
) -> None:
    """List exports, newest first."""
    with session(context).targets().region(region) as client:
        answer = client.exports.ListExports(export_pb.ListExportsRequest(page_size=limit))
    if json_output:
        output.as_json(answer.exports)
        return
    rows = [
        (each.name, _scope(each), _word(each), each.object_count, output.when(each.create_time))
        for each in answer.exports
    ]
    output.table(("export", "scope", "state", "objects", "created"), rows)


@app.command("get")
def get_export(
    context: typer.Context, identifier: Identifier, region: Region = "us", json_output: Json = False
) -> None:
    """Show one export: state, rows of each model, until when its file is there."""
    with session(context).targets().region(region) as client:
        found = client.exports.GetExport(export_pb.GetExportRequest(name=_name(identifier)))
    _show(found, json_output)


@app.command("download")
def download_export(
    context: typer.Context,
    identifier: Identifier,
    destination: Destination = _STDOUT,
    region: Region = "us",
    indent: Indent = None,
    encrypt_with: EncryptWith = None,
) -> None:
    """Take the file of an export; a file that was begun is gone on with, unless it is encrypted."""
    with session(context).targets().region(region) as client:
        _take(client, _name(identifier), destination, indent, encrypt_with)


@app.command("cancel")
def cancel_export(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """End an export that has not ended."""
    request = export_pb.CancelExportRequest(name=_name(identifier), request_id=request_id_of(request_id))
    with session(context).targets().region(region) as client:
        _show(client.exports.CancelExport(request), json_output)


@app.command("delete")
def delete_export(
    context: typer.Context, identifier: Identifier, region: Region = "us", request_id: RequestId = None
) -> None:
    """Forget an export and its file."""
    request = export_pb.DeleteExportRequest(name=_name(identifier), request_id=request_id_of(request_id))
    with session(context).targets().region(region) as client:
        client.exports.DeleteExport(request)
    output.say(f"{request.name} is deleted")


def _export(context: typer.Context, wish: export_pb.CreateExportRequest, destination: str, how: How) -> None:
    set_voice(context, no_prompt=how.no_prompt, silent=how.silent)
    wish.request_id = request_id_of(how.request_id)
    with (
        session(context).targets().region(how.region) as client,
        refusals_written(how.findings_file, is_export=True),
    ):
        name = client.exports.CreateExport(wish).name
        output.complain(f"{name} is queued")
        found = _wait_for(client, name, how.wait_max)
        if how.findings_file is not None:
            write_export(how.findings_file, found)
        output.complain(f"{name}: {_word(found)}, {found.object_count} objects")
        if found.state != State.STATE_SUCCEEDED:
            why = found.error.message if found.HasField("error") else f"it is {_word(found)}"
            raise ExportFailed(f"{name} has no file: {why}")
        _take(client, name, destination, how.indent, how.encrypt_with)


def _wait_for(client: RegionClient, name: str, wait_max_s: float) -> export_pb.DataExport:
    """Poll until the export ends; a region that is away is waited for half a minute."""
    ends_at = time.monotonic() + wait_max_s
    lost_at: float | None = None
    while True:
        try:
            found = client.exports.GetExport(export_pb.GetExportRequest(name=name))
        except grpc.RpcError as error:
            lost_at = lost_at or time.monotonic()
            if refusal_of(error).code not in _PASSING or time.monotonic() - lost_at > LOST_MAX_S:
                raise
        else:
            lost_at = None
            if found.state not in _WAITING:
                return found
        if time.monotonic() > ends_at:
            raise ExportFailed(f"{name} has not ended yet; take it later with: siloway exports download {name}")
        time.sleep(POLL_S)


def _take(client: RegionClient, name: str, destination: str, indent: int | None, key: Path | None) -> None:
    target = None if destination == _STDOUT else Path(destination)
    change: Callable[[Iterator[bytes]], Iterator[bytes]] = lambda chunks: chunks  # noqa: E731
    if indent is not None:
        change = partial(downloads.indented, indent=indent)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.ERR, transient=True, disable=not output.ERR.is_terminal) as progress:
        task = progress.add_task("taking", total=None)

        def advance(taken: int, whole: int) -> None:
            progress.update(task, completed=taken, total=whole)

        if key is not None:
            encrypt_into(target, downloads.chunks_of(client, name, on_taken=advance), key)
        elif target is not None:
            downloads.save(client, name, target, change=change, on_taken=advance)
        else:
            for chunk in change(downloads.chunks_of(client, name, on_taken=advance)):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    if target is not None:
        output.complain(f"{name} is in {destination}")


def _show(found: export_pb.DataExport, json_output: bool) -> None:
    if json_output:
        output.as_json(found)
        return
    output.say(f"{found.name}: {_scope(found)}, {_word(found)}, {found.object_count} objects, {found.size_bytes} bytes")
    if found.HasField("error"):
        output.say(f"  {found.error.message}")
    if found.HasField("expire_time"):
        output.say(f"  its file is there until {output.when(found.expire_time)}")
    output.table(("model", "rows"), [(each.model, each.rows) for each in found.models])


def _name(identifier: str) -> str:
    return resource_name("exports", identifier)


def _word(found: export_pb.DataExport) -> str:
    return State.Name(found.state).removeprefix("STATE_").lower()


def _scope(found: export_pb.DataExport) -> str:
    return Scope.Name(found.scope).removeprefix("SCOPE_").lower()
