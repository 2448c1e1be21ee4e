"""`siloway imports`: what was started; and what all commands that start, watch or show an import share."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client import output
from siloway_client.client import RegionClient
from siloway_client.options import Json, Region, resource_name, session
from siloway_client.refusal import refusal_of

POLL_S = 1.0
LOST_MAX_S = 30.0
_WATCH_S = 1500.0
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"}
app = typer.Typer(no_args_is_help=True, help="Imports that were started.")

_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f}%"),
    TimeElapsedColumn(),
)
Scope = import_pb.DataImport.Scope
State = import_pb.DataImport.State
_RESTING = (
    State.STATE_SUCCEEDED,
    State.STATE_FAILED,
    State.STATE_PAUSED,
    State.STATE_CANCELLED,
    State.STATE_STOPPED,
    State.STATE_PLANNED,
    State.STATE_UNDONE,
)

Identifier = Annotated[str, typer.Argument(metavar="ID", help="The import's id, or imports/ID.")]
Source = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The export file.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as the import is queued.")]
DecryptWith = Annotated[
    Path | None,
    typer.Option(
        "--decrypt-with",
        exists=True,
        dir_okay=False,
        help="The RSA private key (PEM) of an encrypted file; it is decrypted here, and the key stays here.",
    ),
]
WaitMax = Annotated[float, typer.Option("--wait-max", help="Give up waiting after this many seconds.", min=1)]


class ImportFailed(Exception):
    """The import did not end well, or has errors, or rests; the text says which, and what can be done."""


class StillRunning(Exception):
    """The import did not end within the time; the text says how to look again."""


@app.command("get")
def get_import(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    json_output: Json = False,
) -> None:
    """Show one import: state, counts, rate, organizations."""
    with session(context).targets().region(region) as client:
        found = client.imports.GetImport(import_pb.GetImportRequest(name=name_of(identifier)))
    if json_output:
        output.as_json(found)
    else:
        show(found)


@app.command("list")
def list_imports(
    context: typer.Context,
    region: Region = "us",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json_output: Json = False,
) -> None:
    """List imports, newest first."""
    with session(context).targets().region(region) as client:
        answer = client.imports.ListImports(import_pb.ListImportsRequest(page_size=limit))
    if json_output:
        output.as_json(answer.imports)
    else:
        rows = [
            (i.name, word(i), f"{i.done_count}/{i.object_count}", output.when(i.create_time)) for i in answer.imports
        ]
        output.table(("import", "state", "objects", "created"), rows)


def show(found: import_pb.DataImport) -> None:
    """Tell one import in text."""
    output.say(
        f"{found.name}: {word(found)}, {found.done_count} of {found.object_count} objects ({pace(found)}),"
        f" {found.finding_count} findings, {found.error_count} of them errors"
    )
    if found.HasField("error"):
        output.say(f"  {found.error.message}")
    if found.undone_count or found.kept_count:
        output.say(f"  {found.undone_count} rows undone, {found.kept_count} stay")
    rows = [(m.model, m.total, m.inserted, m.merged, m.overwritten, m.suffixed, m.skipped) for m in found.models]
    output.table(("model", "in file", "inserted", "merged", "overwritten", "suffixed", "skipped"), rows)
    for organization in found.organizations:
        output.say(f"  {organization.organization}: {organization.base_slug} -> {organization.slug or '(not yet)'}")


def wait_for(
    client: RegionClient, name: str, wait_max_s: float, on_progress: Callable[[import_pb.DataImport], None]
) -> import_pb.DataImport:
    """Watch until the import rests; `on_progress` gets each answer. A region that is away is waited for half a minute,
    and one with too many watchers is asked instead.

    Raises StillRunning and grpc.RpcError.
    """
    ends_at = time.monotonic() + wait_max_s
    lost_at: float | None = None
    while True:
        try:
            for found in _told(client, name, ends_at - time.monotonic(), is_asked=lost_at is not None):
                lost_at = None
                on_progress(found)
                if found.state in _RESTING:
                    return found
        except grpc.RpcError as error:
            lost_at = lost_at or time.monotonic()
            if refusal_of(error).code not in _PASSING or time.monotonic() - lost_at > LOST_MAX_S:
                raise
        if time.monotonic() > ends_at:
            raise StillRunning(f"{name} has not ended yet; look again with: siloway imports watch {name}")
        time.sleep(POLL_S)


def _told(client: RegionClient, name: str, left_s: float, *, is_asked: bool) -> Iterator[import_pb.DataImport]:
    """The answers of a watch; one answer where watching has just failed."""
    if is_asked:
        yield client.imports.GetImport(import_pb.GetImportRequest(name=name))
        return
    timeout_s = min(max(left_s, 1.5), _WATCH_S)
    yield from client.imports.WatchImport(import_pb.WatchImportRequest(name=name), timeout=timeout_s)


def check_end(found: import_pb.DataImport) -> None:
    """Raise ImportFailed unless the import ended without an error, or goes on."""
    match found.state:
        case State.STATE_FAILED | State.STATE_CANCELLED:
            raise ImportFailed(f"{found.name} {word(found)}: {found.error.message}")
        case State.STATE_STOPPED:
            told = f"{found.error_count} errors stopped it; see them with: siloway imports findings {found.name}"
            raise ImportFailed(f"{found.name}: {told}")
        case State.STATE_PAUSED:
            raise ImportFailed(f"{found.name} is paused; let it go on with: siloway imports resume {found.name}")
    if found.state == State.STATE_SUCCEEDED and found.error_count:
        raise ImportFailed(f"{found.name} has left out rows with errors: {found.error_count} findings tell of them")


def upload_and_wait(
    client: RegionClient,
    source: Path,
    scope: import_pb.DataImport.Scope.ValueType,
    *,
    request_id: str | None,
    wait_max_s: float,
    options: import_pb.ImportOptions | None = None,
    is_plan: bool = False,
    wait: bool = True,
) -> import_pb.DataImport:
    """Upload with a progress bar and, when asked, wait until it rests."""
    with Progress(
        *_COLUMNS, DownloadColumn(), console=output.ERR, transient=True, disable=not output.ERR.is_terminal
    ) as progress:
        task = progress.add_task("uploading", total=max(source.stat().st_size, 1))
        found = client.upload_import(
            source,
            scope,
            request_id=request_id,
            options=options,
            is_plan=is_plan,
            on_sent=lambda sent: progress.update(task, completed=sent),
        )
    output.complain(f"{found.name} is queued")
    if not wait:
        return found
    return follow(client, found, wait_max_s)


def follow(client: RegionClient, found: import_pb.DataImport, wait_max_s: float) -> import_pb.DataImport:
    """Watch an import with a progress bar. Raises what wait_for raises."""
    with Progress(
        *_COLUMNS, MofNCompleteColumn(), console=output.ERR, transient=True, disable=not output.ERR.is_terminal
    ) as progress:
        task = progress.add_task("importing", total=max(found.object_count, 1))

        def advance(current: import_pb.DataImport) -> None:
            description = f"{word(current)} ({pace(current)})"
            total, done = current.object_count, current.done_count
            if current.state in (State.STATE_UNDOING, State.STATE_UNDONE):
                total = sum(each.inserted + each.overwritten + each.suffixed for each in current.models)
                done = current.undone_count + current.kept_count
            progress.update(task, completed=done, total=max(total, 1), description=description)

        return wait_for(client, found.name, wait_max_s, advance)


def tell_end(found: import_pb.DataImport, json_output: bool) -> None:
    """Show an import that rests, or was only to be queued. Raises what check_end raises."""
    if json_output:
        output.as_json(found)
    else:
        show(found)
    check_end(found)


def name_of(identifier: str) -> str:
    """An import's name, of its name or id. Raises BadParameter."""
    return resource_name("imports", identifier)


def word(found: import_pb.DataImport) -> str:
    """The import's state as one says it."""
    wanted = {State.STATE_PAUSED: ", to be paused", State.STATE_CANCELLED: ", to be cancelled"}
    return State.Name(found.state).removeprefix("STATE_").lower() + wanted.get(found.requested_state, "")


def pace(found: import_pb.DataImport) -> str:
    """How fast it goes, and how long still."""
    if found.HasField("seconds_left"):
        return f"{found.recent_objects_per_second:.0f}/s, about {found.seconds_left:.0f} s left"
    return f"{found.objects_per_second:.0f}/s"
