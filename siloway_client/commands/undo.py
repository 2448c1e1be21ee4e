"""`siloway undo` and `siloway imports undo`: takes an import back and tells what stays; exits with 1 when rows do."""

from typing import Annotated

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client import output
from siloway_client.client import RegionClient
from siloway_client.commands.imports import (
    Identifier,
    ImportFailed,
    NoWait,
    State,
    WaitMax,
    check_end,
    follow,
    name_of,
    word,
)
from siloway_client.findings import findings_of
from siloway_client.options import Json, Region, RequestId, request_id_of, session

KINDS = ("KEPT_CHANGED", "KEPT_REFERRED", "KEPT_MEMBER", "KEPT_WITH_USER")
"""The kinds of findings that tell why a row stays."""


def undo(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show at most this many rows that stay.")] = 100,
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Take an import back: what nobody changed goes, or is as before. Exits with 1 when rows stay."""
    with session(context).targets().region(region) as client:
        request = import_pb.UndoImportRequest(name=name_of(identifier), request_id=request_id_of(request_id))
        found = client.imports.UndoImport(request)
        if not no_wait:
            found = follow(client, found, wait_max)
        staying = _staying(client, found, limit)
    if json_output:
        output.as_json([*staying, found])
    else:
        _tell(found, staying)
    check_end(found)
    if found.state == State.STATE_UNDONE and found.kept_count:
        raise ImportFailed(f"{found.name} is undone but for {found.kept_count} rows")


def _staying(client: RegionClient, found: import_pb.DataImport, limit: int) -> list[import_pb.ImportFinding]:
    staying: list[import_pb.ImportFinding] = []
    for kind in KINDS if found.kept_count else ():
        staying += findings_of(client, found.name, kind, limit - len(staying))
    return staying


def _tell(found: import_pb.DataImport, staying: list[import_pb.ImportFinding]) -> None:
    for each in staying:
        output.say(f"{each.kind}: {each.model} {each.ordinal} (pk {each.pk}): {each.reason}")
    if found.kept_count > len(staying):
        output.say(f"... and {found.kept_count - len(staying)} more: siloway imports findings {found.name}")
    output.say(f"{found.name}: {word(found)}, {found.undone_count} rows undone, {found.kept_count} stay")
