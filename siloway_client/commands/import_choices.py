"""What may be chosen for `siloway import`: the options, and how text becomes a filter.

Text on the command line: none, or "", is no filter; blank text is a filter that lets nothing pass; otherwise names
stand between commas, trimmed, and "a,,b" holds the empty name too. A file is always a filter: one without a name in it,
also of no bytes, lets nothing pass; names in it stand between commas or ends of lines.
"""

from pathlib import Path
from typing import Annotated

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.filters import text_in

MergeUsers = Annotated[
    bool,
    typer.Option(
        "--merge-users", help="Use the user that is there when the username is taken. Needs the scope silo:operate."
    ),
]
OverwriteConfigs = Annotated[
    bool, typer.Option("--overwrite-configs", help="Give configuration that is there the file's values.")
]
HideOrganizations = Annotated[
    bool, typer.Option("--hide-organizations", help="Hide the organizations until somebody approves (status 3).")
]
ContinueOnError = Annotated[
    bool, typer.Option("--continue-on-error", help="Go on behind rows with errors; without it they stop the import.")
]
AddToSilo = Annotated[bool, typer.Option("--add-to-silo", help="Add to a silo that holds other organizations.")]
Usernames = Annotated[
    str | None,
    typer.Option(
        "--filter-usernames",
        metavar="NAMES",
        help='Only these users, separated by commas. "" is no filter, blank text lets nobody pass.',
    ),
]
UsernamesFile = Annotated[
    Path | None,
    typer.Option(
        "--filter-usernames-file",
        exists=True,
        dir_okay=False,
        readable=True,
        help="As --filter-usernames, from a file, separated by commas or lines. An empty file lets nobody pass.",
    ),
]
OrganizationSlugs = Annotated[
    str | None,
    typer.Option(
        "--filter-org-slugs",
        metavar="SLUGS",
        help='Only these organizations, separated by commas. "" is no filter, blank text lets none pass.',
    ),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="MODEL=POLICY",
        help="What becomes of rows of a model whose unique values are taken: skip, merge, overwrite or suffix.",
    ),
]

Filter = import_pb.ImportOptions.Filter


def filter_of(text: str | None) -> Filter | None:
    """The filter of text on the command line."""
    if not text:
        return None
    return Filter(values=[each.strip() for each in text.split(",")] if text.strip() else ())


def usernames_filter(text: str | None, file: Path | None) -> Filter | None:
    """The filter of one of two options. Raises BadParameter when both are given, or the file is no text."""
    if file is None:
        return filter_of(text)
    if text is not None:
        raise typer.BadParameter("--filter-usernames and --filter-usernames-file exclude each other")
    return Filter(
        values=[each.strip() for line in text_in(file).splitlines() if line.strip() for each in line.split(",")]
    )


def policies_of(texts: list[str] | None) -> list[import_pb.ImportOptions.Policy]:
    """The policies that were chosen. Raises BadParameter for one that is none."""
    return [_policy(text) for text in texts or ()]


def _policy(text: str) -> import_pb.ImportOptions.Policy:
    model, _, word = text.partition("=")
    known = {"skip", "merge", "overwrite", "suffix"}
    if not model or word not in known:
        raise typer.BadParameter(
            f'"{text}" is not MODEL=POLICY with one of {", ".join(sorted(known))}', param_hint="--policy"
        )
    on_conflict = import_pb.ImportOptions.OnConflict.Value(f"ON_CONFLICT_{word.upper()}")
    return import_pb.ImportOptions.Policy(model=model, on_conflict=on_conflict)
