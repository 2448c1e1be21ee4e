"""`siloway imports findings|watch|pause|resume|cancel|retry|verify|undo`: what can be done with a queued import."""

from typing import Annotated

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client import output
from siloway_client.commands.imports import Identifier, NoWait, WaitMax, follow, name_of, show, tell_end
from siloway_client.commands.undo import undo
from siloway_client.commands.verification import verify
from siloway_client.findings import findings_of
from siloway_client.options import Json, Region, RequestId, request_id_of, session


def add_to(app: typer.Typer) -> None:
    """Make the commands known."""
    for name, command in (
        ("findings", list_findings),
        ("watch", watch_import),
        ("pause", pause_import),
        ("resume", resume_import),
        ("cancel", cancel_import),
        ("retry", retry_import),
        ("verify", verify),
        ("undo", undo),
    ):
        app.command(name)(command)


def list_findings(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    kind: Annotated[str, typer.Option(help="Only findings of this kind.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many.")] = 100,
    json_output: Json = False,
) -> None:
    """List what is worth telling about rows of an import."""
    with session(context).targets().region(region) as client:
        findings = list(findings_of(client, name_of(identifier), kind, limit + 1))
    has_more = len(findings) > limit
    findings = findings[:limit]
    if json_output:
        output.as_json(findings)
        return
    if not findings:
        output.complain("no findings")
    for finding in findings:
        field = f", field {finding.field}" if finding.field else ""
        place = f" {finding.ordinal} (pk {finding.pk or 'unknown'}{field})" if finding.ordinal else ""
        output.say(f"{finding.kind}: {finding.model or 'object'}{place}: {finding.reason}")
    if has_more:
        output.say(f"... and more; --limit is {limit}")


def watch_import(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    wait_max: WaitMax = 3600,
    json_output: Json = False,
) -> None:
    """Watch an import until it ends or rests. Exits with 1 when it did not end well, or has errors."""
    with session(context).targets().region(region) as client:
        found = follow(client, import_pb.DataImport(name=name_of(identifier)), wait_max)
    tell_end(found, json_output)


def pause_import(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Pause an import after the batch at hand."""
    with session(context).targets().region(region) as client:
        request = import_pb.PauseImportRequest(name=name_of(identifier), request_id=request_id_of(request_id))
        _tell(client.imports.PauseImport(request), json_output)


def resume_import(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Let a paused import go on."""
    with session(context).targets().region(region) as client:
        request = import_pb.ResumeImportRequest(name=name_of(identifier), request_id=request_id_of(request_id))
        _tell(client.imports.ResumeImport(request), json_output)


def cancel_import(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """End an import for good. Rows that are written stay, and its organizations stay closed."""
    with session(context).targets().region(region) as client:
        request = import_pb.CancelImportRequest(name=name_of(identifier), request_id=request_id_of(request_id))
        _tell(client.imports.CancelImport(request), json_output)


def retry_import(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    continue_on_error: Annotated[
        bool | None,
        typer.Option("--continue-on-error/--stop-on-error", help="What errors do from now on; as before by default."),
    ] = None,
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Take up what failed: rows with errors, rows whose reference was missing, and what was not come to."""
    with session(context).targets().region(region) as client:
        request = import_pb.RetryImportRequest(
            name=name_of(identifier), request_id=request_id_of(request_id), continue_on_error=continue_on_error
        )
        found = client.imports.RetryImport(request)
        if not no_wait:
            found = follow(client, found, wait_max)
    tell_end(found, json_output)


def _tell(found: import_pb.DataImport, json_output: bool) -> None:
    if json_output:
        output.as_json(found)
    else:
        show(found)
