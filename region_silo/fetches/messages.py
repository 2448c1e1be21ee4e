"""Refs, fetches and comparisons between their messages and their domain's values."""

from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.fetches.domain import CommitFetch, FetchState
from region_silo.releases.comparing import ComparedCommit, Comparison
from region_silo.releases.refs import HEAD_FIELDS, REF_FIELDS, RefChange, RefSpec
from shared import names
from shared.errors import InvalidArgument

_STATES = {
    FetchState.QUEUED: commits_pb.CommitFetch.STATE_QUEUED,
    FetchState.RUNNING: commits_pb.CommitFetch.STATE_RUNNING,
    FetchState.SUCCEEDED: commits_pb.CommitFetch.STATE_SUCCEEDED,
    FetchState.FAILED: commits_pb.CommitFetch.STATE_FAILED,
}


def refs_of(message: commits_pb.RefSet, *, environment: str = "", clears: bool = False) -> RefChange:
    """The refs as told; `clears`: an empty list takes commits and heads away."""
    specs = tuple(RefSpec(ref.repository, ref.commit, ref.previous_commit) for ref in message.refs)
    return RefChange(specs, REF_FIELDS, environment, clears)


def updated_refs(request: release_pb.UpdateReleaseRequest) -> RefChange | None:
    """The refs of an update in either form; None when it has none. Raises InvalidArgument when it has both."""
    if request.HasField("refs") and request.HasField("head_commits"):
        raise InvalidArgument.of("head_commits", "must not be given together with refs")
    if request.HasField("refs"):
        return refs_of(request.refs, clears=True)
    if not request.head_commits.head_commits:
        return None
    heads = request.head_commits.head_commits
    return RefChange(tuple(RefSpec(head.repository, head.current_id, head.previous_id) for head in heads), HEAD_FIELDS)


def fetch_message(fetch: CommitFetch) -> commits_pb.CommitFetch:
    """The fetch as an answer."""
    organization_id = fetch.organization_id
    message = commits_pb.CommitFetch(
        name=names.commit_fetch_name(organization_id, fetch.id),
        release=names.release_name(organization_id, fetch.version),
        state=_STATES[fetch.state],
        refs=[
            commits_pb.FetchedRef(
                repository=ref.repository,
                commit=ref.commit,
                previous_commit=ref.previous_commit,
                commit_count=ref.commit_count,
                done=ref.done,
                error_reason=ref.error_reason,
                error_message=ref.error_message,
            )
            for ref in fetch.refs
        ],
        previous_release=names.release_name(organization_id, fetch.previous_version) if fetch.previous_version else "",
        previous_release_reason=fetch.previous_reason,
        commit_count=fetch.commit_count,
        attempt_count=fetch.attempts,
    )
    message.create_time.FromDatetime(fetch.created_at)
    message.update_time.FromDatetime(fetch.updated_at)
    if fetch.next_try_at is not None:
        message.next_try_time.FromDatetime(fetch.next_try_at)
    return message


def comparison_message(comparison: Comparison) -> release_pb.CompareReleasesResponse:
    """The comparison as an answer."""
    return release_pb.CompareReleasesResponse(
        commits=[_compared(commit) for commit in comparison.commits],
        next_page_token=comparison.next_page_token,
        commit_count=comparison.commit_count,
        file_count=comparison.file_count,
        heads=[
            commits_pb.ComparedHead(repository=head.repository, base_commit_id=head.base_key, commit_id=head.key)
            for head in comparison.heads
        ],
    )


def _compared(compared: ComparedCommit) -> commits_pb.ComparedCommit:
    commit = compared.commit
    message = commits_pb.ComparedCommit(
        id=commit.key,
        repository=commit.repository,
        message=commit.message,
        author_name=commit.author_name,
        author_email=commit.author_email,
        files=[
            commits_pb.ChangedFile(repository=commit.repository, path=file.path, types=[file.type], commit_count=1)
            for file in compared.files
        ],
    )
    if commit.commit_time is not None:
        message.commit_time.FromDatetime(commit.commit_time)
    return message
