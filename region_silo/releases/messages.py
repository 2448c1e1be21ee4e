"""Releases between their messages and their domain's values; a time that no calendar has is a broken field."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter

from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.releases.commits import CommitSpec, FileChange
from region_silo.releases.domain import Commit, Release, ReleaseFields, ReleaseState
from region_silo.releases.versions import VersionInfo
from shared import names
from shared.errors import InvalidArgument

# The years 1 to 9999.
_SECONDS_MIN = -62_135_596_800
_SECONDS_MAX = 253_402_300_799
_STATES = {
    ReleaseState.OPEN: release_pb.Release.STATE_OPEN,
    ReleaseState.ARCHIVED: release_pb.Release.STATE_ARCHIVED,
}
USERS = "users"
_STATES_READ: dict[int, ReleaseState] = {message: state for state, message in _STATES.items()}
_FILE_TYPES = {
    release_pb.FileChange.TYPE_ADDED: "A",
    release_pb.FileChange.TYPE_DELETED: "D",
    release_pb.FileChange.TYPE_MODIFIED: "M",
}


def state_of(state: int) -> ReleaseState | None:
    """The state, None when it is not given."""
    return _STATES_READ.get(state)


def fields_of(message: release_pb.Release) -> ReleaseFields:
    """The fields that a client may set. Raises InvalidArgument of `release.release_time`, `release.owner`."""
    release_time = None
    if message.HasField("release_time"):
        release_time = time_of(message.release_time, "release.release_time")
    return ReleaseFields(message.ref, message.url, release_time, state_of(message.state), _owner(message.owner))


def commits_of(messages: Iterable[release_pb.CommitSpec], field: str, *, first: int = 0) -> list[CommitSpec]:
    """The commits as told, column by column; the first one's index is `first`.

    Raises InvalidArgument of `<field>[i].commit_time`.
    """
    specs = list(messages)
    return list(
        map(
            CommitSpec,
            map(attrgetter("id"), specs),
            map(attrgetter("repository"), specs),
            map(attrgetter("message"), specs),
            map(attrgetter("author_name"), specs),
            map(attrgetter("author_email"), specs),
            _times_us(specs, field, first),
            map(_files, map(attrgetter("patch_set"), specs)),
        )
    )


def release_message(release: Release) -> release_pb.Release:
    """The release as an answer."""
    message = release_pb.Release(
        name=names.release_name(release.organization_id, release.version),
        uid=str(release.id),
        version=release.version,
        projects=[names.project_name(release.organization_id, project) for project in release.project_ids],
        ref=release.ref,
        url=release.url,
        state=_STATES[release.state],
        commit_count=release.commit_count,
        heads=[
            release_pb.RepositoryHead(repository=head.repository, commit_id=head.commit_key) for head in release.heads
        ],
        authors=release.authors,
        author_count=release.author_count,
        etag=release.etag,
        owner="" if release.owner is None else f"{USERS}/{release.owner}",
        user_agent=release.user_agent,
        deploy_count=release.deploy_count,
    )
    if release.last_deploy_id is not None:
        message.last_deploy = f"{message.name}/deploys/{release.last_deploy_id}"
    message.create_time.FromDatetime(release.create_time)
    if release.release_time is not None:
        message.release_time.FromDatetime(release.release_time)
    if release.last_commit is not None:
        message.last_commit.CopyFrom(commit_message(release.last_commit))
    if release.version_info is not None:
        message.version_info.CopyFrom(version_info_message(release.version_info))
    return message


def commit_message(commit: Commit) -> release_pb.Commit:
    """The commit as an answer."""
    message = release_pb.Commit(
        id=commit.key,
        repository=commit.repository,
        message=commit.message,
        author_name=commit.author_name,
        author_email=commit.author_email,
    )
    if commit.commit_time is not None:
        message.commit_time.FromDatetime(commit.commit_time)
    return message


def _times_us(specs: Sequence[release_pb.CommitSpec], field: str, first: int) -> list[int | None]:
    """Microseconds since 1970, None for none."""
    times = [spec.commit_time if spec.HasField("commit_time") else None for spec in specs]
    told = [time for time in times if time is not None]
    seconds = list(map(attrgetter("seconds"), told)) or [0]
    nanos = list(map(attrgetter("nanos"), told)) or [0]
    if not (_SECONDS_MIN <= min(seconds) <= max(seconds) <= _SECONDS_MAX and 0 <= min(nanos) <= max(nanos) < 10**9):
        for index, time in enumerate(times, first):
            if time is not None:
                time_of(time, f"{field}[{index}].commit_time")
    return [None if time is None else time.seconds * 1_000_000 + time.nanos // 1000 for time in times]


def _files(changes: Sequence[release_pb.FileChange]) -> tuple[FileChange, ...]:
    return tuple(FileChange(change.path, _FILE_TYPES[change.type]) for change in changes) if changes else ()


def version_info_message(info: VersionInfo) -> release_pb.VersionInfo:
    """The parts of a version as an answer."""
    return release_pb.VersionInfo(
        package=info.package,
        major=info.major,
        minor=info.minor,
        patch=info.patch,
        revision=info.revision,
        prerelease=info.prerelease,
        build_code=info.build_code,
        build_number=info.build_number,
        build_hash=info.build_hash,
        description=info.description,
    )


def _owner(name: str) -> int | None:
    return names.parse_numbered(name, USERS, "release.owner") if name else None


def time_of(timestamp: Timestamp, field: str) -> datetime:
    """To the microsecond, as PostgreSQL keeps it. Raises InvalidArgument of `field`."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise InvalidArgument.of(field, "must be a time between the years 1 and 9999") from exc
