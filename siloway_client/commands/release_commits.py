"""`siloway release set-commits`, `append-commits`, `clear-commits` and `files`: the commits that a release ships."""

import json
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from siloway_client import git_log, output
from siloway_client.client import RegionClient
from siloway_client.commands.releases import Version, show
from siloway_client.options import FirstRegion, Json, Organization, RequestId, Session, request_id_of, session

PART_COMMITS = 5_000
PART_BYTES = 3 * 1024 * 1024
STREAM_TIMEOUT_S = 600.0


class Replace(Enum):
    """Whose commits the given ones replace."""

    ALL = "all"
    REPOSITORY = "repository"


Source = Annotated[
    Path | None,
    typer.Argument(help="A file of one JSON object a line, with the fields of CommitSpec; - reads standard input."),
]
Local = Annotated[bool, typer.Option("--local", help="Take the commits of a local repository, by the git command.")]
Folder = Annotated[Path, typer.Option("--path", help="With --local: a folder of the repository.", file_okay=False)]
Start = Annotated[str, typer.Option("--from", help="With --local: leave out what this revision has.")]
End = Annotated[str, typer.Option("--to", help="With --local: the newest revision.")]
Name = Annotated[
    str, typer.Option("--repository", help="With --local: the repository's name; its remote's by default.")
]


def set_commits(
    context: typer.Context,
    organization: Organization,
    version: Version,
    source: Source = None,
    local: Local = False,
    path: Folder = Path(),
    start: Start = "",
    end: End = "HEAD",
    repository: Name = "",
    replace: Annotated[
        Replace, typer.Option(help="Replace all commits, or those of the repositories that are given.")
    ] = Replace.ALL,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Set the commits of a release."""
    mode = {
        Replace.ALL: commits_pb.COMMIT_MODE_REPLACE_ALL,
        Replace.REPOSITORY: commits_pb.COMMIT_MODE_REPLACE_REPOSITORY,
    }[replace]
    specs = _read(source, local, path, start, end, repository)
    header = _header(organization, version, mode, request_id)
    _send(session(context), organization, header, specs, region, json_output)


def append_commits(
    context: typer.Context,
    organization: Organization,
    version: Version,
    source: Source = None,
    local: Local = False,
    path: Folder = Path(),
    start: Start = "",
    end: End = "HEAD",
    repository: Name = "",
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Add commits to a release, each in its place by time."""
    specs = _read(source, local, path, start, end, repository)
    header = _header(organization, version, commits_pb.COMMIT_MODE_APPEND, request_id)
    _send(session(context), organization, header, specs, region, json_output)


def clear_commits(
    context: typer.Context,
    organization: Organization,
    version: Version,
    region: FirstRegion = None,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Take all commits from a release."""
    request = release_pb.ClearCommitsRequest(
        release=f"organizations/{organization}/releases/{version}", request_id=request_id_of(request_id)
    )
    with session(context).targets().router(region) as router:
        answer = router.call(organization, lambda client: client.releases.ClearCommits(request))
    if json_output:
        output.as_json(answer)
    else:
        output.say(f"{answer.removed_count} commits removed")
        show(answer.release)


def list_files(
    context: typer.Context,
    organization: Organization,
    version: Version,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most this many.")] = 1000,
    region: FirstRegion = None,
    json_output: Json = False,
) -> None:
    """List the files that the commits of a release change."""
    files: list[commits_pb.ChangedFile] = []
    request = release_pb.ListReleaseFilesRequest(parent=f"organizations/{organization}/releases/{version}")
    with session(context).targets().router(region) as router:
        while True:
            request.page_size = min(1000, limit - len(files))
            answer = router.call(organization, lambda client: client.releases.ListReleaseFiles(request))
            files += answer.files
            request.page_token = answer.next_page_token
            if not answer.next_page_token or len(files) >= limit:
                break
    if json_output:
        output.as_json(files)
        return
    output.table(
        ("repository", "path", "changes", "commits"),
        [(file.repository, file.path, "".join(file.types), file.commit_count) for file in files],
    )
    if answer.next_page_token:
        output.say(f"... and more; --limit is {limit}")


def add_to(app: typer.Typer) -> None:
    """Add these commands to `siloway release`."""
    app.command("set-commits")(set_commits)
    app.command("append-commits")(append_commits)
    app.command("clear-commits")(clear_commits)
    app.command("files")(list_files)


def parse_lines(lines: Iterable[str], name: str) -> list[release_pb.CommitSpec]:
    """One JSON object a line, blank lines aside. Raises typer.BadParameter naming the line."""
    specs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            if not isinstance(content, dict):
                raise ValueError("not a JSON object")  # told with its line below
            specs.append(json_format.ParseDict(content, release_pb.CommitSpec()))
        except (ValueError, json_format.ParseError) as error:
            raise typer.BadParameter(f"{name}, line {number}: {error}") from error
    return specs


def parts(specs: Iterable[release_pb.CommitSpec]) -> Iterator[list[release_pb.CommitSpec]]:
    """Runs of at most PART_COMMITS and about PART_BYTES, so that each fits a message."""
    part: list[release_pb.CommitSpec] = []
    size = 0
    for spec in specs:
        more = spec.ByteSize()
        if part and (len(part) >= PART_COMMITS or size + more > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(spec)
        size += more
    if part:
        yield part


def _read(
    source: Path | None, local: bool, path: Path, start: str, end: str, repository: str
) -> list[release_pb.CommitSpec]:
    if local == (source is not None):
        raise typer.BadParameter("give either a file of commits or --local")
    if source is None:
        specs = git_log.read_commits(path, start, end, repository or git_log.repository_name(path))
    elif str(source) == "-":
        specs = parse_lines(sys.stdin, "standard input")
    else:
        with source.open(encoding="utf-8") as file:
            specs = parse_lines(file, str(source))
    if not specs:
        raise typer.BadParameter("there are no commits; clear-commits takes all from a release")
    return specs


def _header(
    organization: str, version: str, mode: commits_pb.CommitMode.ValueType, request_id: str | None
) -> release_pb.StreamCommitsRequest.Header:
    return release_pb.StreamCommitsRequest.Header(
        release=f"organizations/{organization}/releases/{version}", mode=mode, request_id=request_id_of(request_id)
    )


def _send(
    run: Session,
    organization: str,
    header: release_pb.StreamCommitsRequest.Header,
    specs: list[release_pb.CommitSpec],
    region: str | None,
    json_output: bool,
) -> None:
    runs = list(parts(specs))

    def call(client: RegionClient) -> release_pb.SetCommitsResponse:
        if len(runs) > 1:
            return client.releases.StreamCommits(_messages(header, runs), timeout=STREAM_TIMEOUT_S)
        request = release_pb.SetCommitsRequest(
            release=header.release,
            mode=header.mode,
            commits=release_pb.CommitSet(commits=runs[0]),
            request_id=header.request_id,
        )
        return client.releases.SetCommits(request)

    with run.targets().router(region) as router:
        answer = router.call(organization, call)
    if json_output:
        output.as_json(answer)
        return
    counts = f"{answer.added_count} commits added, {answer.removed_count} removed"
    output.say(f"{counts}, {answer.skipped_count} of the given left out")
    show(answer.release)


def _messages(
    header: release_pb.StreamCommitsRequest.Header, runs: list[list[release_pb.CommitSpec]]
) -> Iterator[release_pb.StreamCommitsRequest]:
    yield release_pb.StreamCommitsRequest(header=header)
    for run in runs:
        yield release_pb.StreamCommitsRequest(commits=release_pb.CommitSet(commits=run))
    yield release_pb.StreamCommitsRequest(finish=True)
