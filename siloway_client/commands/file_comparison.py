"""`siloway compare exports/1 imports/2`: files that a region has are compared there. Exit code 1 when they differ.

What is shown, and the findings file, have the form that comparing files of this machine gives them.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from siloway.region.v1 import file_comparison_service_pb2 as comparison_pb
from typer.main import get_command

from siloway_client import output
from siloway_client.client import RegionClient
from siloway_client.findings_file import COMPARATOR, FindingsFile, write_comparison
from siloway_client.options import Json, Region, session

_TIMEOUT_S = 2990.0
_NAME = re.compile(r"(exports|imports)/[0-9]+")

Left = Annotated[str, typer.Argument(help="exports/ID or imports/ID.", metavar="LEFT")]
Right = Annotated[str, typer.Argument(help="exports/ID or imports/ID.", metavar="RIGHT")]


class FilesDiffer(Exception):
    """The files were compared, and differ; the text says how much."""


class ComparisonCutShort(Exception):
    """The answer ended before the result; the text says so."""


def names_files_of_regions(arguments: Sequence[str]) -> bool:
    """Whether one of the arguments names a file that a region has; a file of this machine would be ./exports/1."""
    return any(_NAME.fullmatch(argument) for argument in arguments)


def compare_in_region(context: typer.Context) -> None:
    """Run `compare` with the arguments that are left in the context. Raises FilesDiffer, ComparisonCutShort."""
    commands = typer.Typer(add_completion=False, rich_markup_mode=None)
    commands.command()(compare)
    with get_command(commands).make_context("compare", list(context.args), parent=context.parent) as inner:
        inner.command.invoke(inner)


def compare(
    context: typer.Context,
    left: Left,
    right: Right,
    region: Region = "us",
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Find at most this many differences.")] = 1000,
    findings_file: FindingsFile = None,
    json_output: Json = False,
) -> None:
    """Tell how two files that a region has differ; the exit code is 1 when they do."""
    for name in (left, right):
        if not _NAME.fullmatch(name):
            raise typer.BadParameter(
                f"{name!r}: a file of a region, exports/ID or imports/ID, is compared with another one of it"
            )
    request = comparison_pb.CompareFilesRequest(left=left, right=right, max_findings=limit)
    keeps = json_output or findings_file is not None
    with session(context).targets().region(region) as client:
        told = _ask(client, request, shows=not json_output)
        parts = [part for part in told if keeps or not part.HasField("finding")]
    if not parts or not parts[-1].HasField("result"):
        raise ComparisonCutShort(f"{left} and {right} were not compared to the end; try again")
    if findings_file is not None:
        write_comparison(findings_file, (part.finding for part in parts if part.HasField("finding")))
    if json_output:
        output.as_json(parts)
    if not parts[-1].result.equal:
        raise FilesDiffer(_told(parts))
    if not json_output:
        output.say("no differences")


def _ask(
    client: RegionClient, request: comparison_pb.CompareFilesRequest, *, shows: bool
) -> Iterator[comparison_pb.CompareFilesResponse]:
    for part in client.file_comparison.CompareFiles(request, timeout=_TIMEOUT_S):
        if part.HasField("finding") and shows:
            output.say(_pretty(part.finding))
        if not part.HasField("progress"):
            yield part


def _told(parts: Sequence[comparison_pb.CompareFilesResponse]) -> str:
    result = parts[-1].result
    more = " or more, for they are cut" if result.findings_cut else ""
    told = f"{result.finding_count} finding{'' if result.finding_count == 1 else 's'}{more}"
    digests = [
        (part.organization.left_digest, part.organization.right_digest)
        for part in parts
        if part.HasField("organization")
    ]
    alike = sum(bool(left) and left == right for left, right in digests)
    return f"{told}; {alike} of {len(digests)} organizations are alike" if digests else told


def _pretty(finding: comparison_pb.FileFinding) -> str:
    place = f"model: {finding.model!r}" + (f", ordinal: {finding.ordinal}" if finding.ordinal else "")
    lines = [f"kind: {finding.kind}", f"on: InstanceID({place})"]
    lines += [f"left_pk: {finding.left_pk}"] if finding.left_pk else []
    lines += [f"right_pk: {finding.right_pk}"] if finding.right_pk else []
    lines += [f"reason: {finding.reason}"] if finding.reason else []
    body = ",\n    ".join(lines)
    return f"{COMPARATOR}(\n    {body}\n)"
