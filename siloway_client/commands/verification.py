"""`siloway verify` and `siloway imports verify`: does what stands equal the file of an import? Exit code 1 when not."""

from typing import Annotated

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client import output
from siloway_client.commands.imports import Identifier, ImportFailed, name_of
from siloway_client.options import Json, Region, session

_TIMEOUT_S = 2990.0


class CutShort(Exception):
    """The answer ended before the result; the text says so."""


def verify(
    context: typer.Context,
    identifier: Identifier,
    region: Region = "us",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show at most this many differences.")] = 100,
    json_output: Json = False,
) -> None:
    """Compare what stands with the file of an import that succeeded. Exits with 1 when something differs."""
    name = name_of(identifier)
    shown: list[import_pb.VerifyImportResponse] = []
    result: import_pb.VerifyImportResponse | None = None
    with session(context).targets().region(region) as client:
        request = import_pb.VerifyImportRequest(name=name)
        for part in client.imports.VerifyImport(request, timeout=_TIMEOUT_S):
            if part.HasField("result"):
                result = part
            elif part.HasField("difference") and len(shown) < limit:
                shown.append(part)
                if not json_output:
                    _tell(part.difference)
    if result is None:
        raise CutShort(f"{name} was not compared to the end; try again")
    if json_output:
        output.as_json([*shown, result])
    else:
        _tell_result(name, result.result, limit)
    if result.result.difference_count:
        raise ImportFailed(f"{name} stands otherwise than in its file: {result.result.difference_count} differences")


def _tell(difference: import_pb.ImportDifference) -> None:
    place = f"{difference.model} {difference.ordinal} (pk {difference.pk}, here {difference.new_pk})"
    output.say(f"{difference.kind}: {place}: {difference.reason}")


def _tell_result(name: str, result: import_pb.ImportVerification, limit: int) -> None:
    if result.difference_count > limit:
        output.say(f"... and more; --limit is {limit}")
    rows = [(each.model, each.field, each.kind, each.rows) for each in result.explanations]
    if rows:
        output.table(("model", "field", "differs because of", "rows"), rows)
    output.say(
        f"{name}: {result.compared_count} rows compared, {result.merged_count} stand for rows that were there before,"
        f" {result.left_out_count} left out, {result.difference_count} differences"
    )
