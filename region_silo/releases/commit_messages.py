"""Sets of commits between their messages and their domain's values, the parts of a stream among them."""

import hashlib
import re
from collections.abc import Iterator

from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.releases.commit_changes import COMMITS_FIELD, CommitsSet
from region_silo.releases.commit_stream import CommitPart
from region_silo.releases.commits import GivenCommits
from region_silo.releases.files import ChangedFile
from region_silo.releases.messages import commits_of, release_message
from shared import names
from shared.errors import CommitsIncomplete, InvalidArgument, Violation

_INDEX = re.compile(rf"{re.escape(COMMITS_FIELD)}\[([0-9]+)\]")


def given_commits(message: release_pb.CommitSet) -> GivenCommits:
    """The commits as told, with the digest of their bytes. Raises as `commits_of`."""
    digest = hashlib.sha256(message.SerializeToString(deterministic=True)).digest()
    return GivenCommits(commits_of(message.commits, COMMITS_FIELD), digest)


def stream_header(requests: Iterator[release_pb.StreamCommitsRequest]) -> release_pb.StreamCommitsRequest.Header:
    """The first message's header. Raises InvalidArgument of `header` when it is another one."""
    message = next(requests, None)
    if message is None or message.WhichOneof("part") != "header":
        raise InvalidArgument.of("header", "must be the first part")
    return message.header


def stream_parts(requests: Iterator[release_pb.StreamCommitsRequest]) -> Iterator[CommitPart]:
    """The other messages up to `finish`; their violations count commits over the whole stream.

    The bytes of all parts one after the other are those of one message with all the commits. Raises InvalidArgument,
    CommitsIncomplete when the stream ends before `finish`.
    """
    first = 0
    while True:
        try:
            message = next(requests, None)
        except InvalidArgument as refusal:
            raise _counted_from(first, refusal) from refusal
        kind = None if message is None else message.WhichOneof("part")
        if message is None or (kind == "finish" and not message.finish):
            raise CommitsIncomplete
        if kind == "finish":
            return
        if kind != "commits":
            raise InvalidArgument.of("header", "may only be the first part")
        specs = commits_of(message.commits.commits, COMMITS_FIELD, first=first)
        yield CommitPart(specs, message.commits.SerializeToString(deterministic=True))
        first += len(specs)


def set_message(answer: CommitsSet) -> release_pb.SetCommitsResponse:
    """What a call did."""
    return release_pb.SetCommitsResponse(
        release=release_message(answer.release),
        added_count=answer.added,
        removed_count=answer.removed,
        skipped_count=answer.skipped,
        resolved_issues=[
            names.issue_name(answer.release.organization_id, issue) for issue in answer.resolved_issue_ids
        ],
    )


def file_message(file: ChangedFile) -> commits_pb.ChangedFile:
    """A changed file."""
    return commits_pb.ChangedFile(
        repository=file.repository, path=file.path, types=file.types, commit_count=file.commit_count
    )


def _counted_from(first: int, refusal: InvalidArgument) -> InvalidArgument:
    violations = [Violation(_moved(first, one.field), one.description) for one in refusal.violations]
    return InvalidArgument(_moved(first, refusal.message), violations=violations)


def _moved(first: int, text: str) -> str:
    return _INDEX.sub(lambda found: f"{COMMITS_FIELD}[{first + int(found[1])}]", text, count=1)
