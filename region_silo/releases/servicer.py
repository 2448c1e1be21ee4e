"""ReleaseService on the wire: messages in and out, nothing decided here."""

from collections.abc import Iterator
from functools import partial

import grpc
from google.protobuf import empty_pb2
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import release_service_pb2_grpc as release_rpc

from region_silo.fetches import messages as ref_messages
from region_silo.fetches.servicer import METHODS as REF_METHODS
from region_silo.fetches.servicer import RefCalls, RefFeatures
from region_silo.releases import commit_messages, facts_messages, messages
from region_silo.releases.commit_changes import CommitChanges
from region_silo.releases.commits import CommitMode
from region_silo.releases.reading import check_facts_query
from region_silo.releases.usecases import ReleaseDraft, ReleaseUpdate, ReleaseUseCases
from shared import names
from shared.rpc.call import mutation
from shared.rpc.methods import Budget, Door, Method, Whose

_SERVICE = "/siloway.region.v1.ReleaseService"
_WRITE = ("project:write", "project:admin", "project:releases", "org:ci")
_READ = ("project:read", *_WRITE)

METHODS: tuple[Method, ...] = (
    Method(
        f"{_SERVICE}/CreateRelease",
        Door.PUBLIC,
        _WRITE,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("parent",),
    ),
    Method(
        f"{_SERVICE}/GetRelease",
        Door.PUBLIC,
        _READ,
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
    Method(
        f"{_SERVICE}/ListReleases",
        Door.PUBLIC,
        _READ,
        whose=Whose.ORGANIZATION,
        names=("parent",),
    ),
    Method(
        f"{_SERVICE}/UpdateRelease",
        Door.PUBLIC,
        _WRITE,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("release.name",),
    ),
    Method(
        f"{_SERVICE}/DeleteRelease",
        Door.PUBLIC,
        ("project:admin", "project:releases"),
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
    Method(f"{_SERVICE}/ParseVersion", Door.PUBLIC, _READ, whose=Whose.EVERYBODY),
    Method(
        f"{_SERVICE}/ListReleaseCommits",
        Door.PUBLIC,
        _READ,
        whose=Whose.ORGANIZATION,
        names=("parent",),
    ),
    Method(
        f"{_SERVICE}/SetCommits",
        Door.PUBLIC,
        _WRITE,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("release",),
    ),
    Method(
        f"{_SERVICE}/StreamCommits",
        Door.PUBLIC,
        _WRITE,
        budget=Budget.STREAMS,
        maximum_s=600.0,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("header.release",),
    ),
    Method(
        f"{_SERVICE}/ClearCommits",
        Door.PUBLIC,
        _WRITE,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("release",),
    ),
    Method(
        f"{_SERVICE}/ListReleaseFiles",
        Door.PUBLIC,
        _READ,
        whose=Whose.ORGANIZATION,
        names=("parent",),
    ),
    *REF_METHODS,
)


class ReleaseServicer(RefCalls, release_rpc.ReleaseServiceServicer):
    """Serves the releases of this region's organizations."""

    def __init__(self, usecases: ReleaseUseCases, changes: CommitChanges, ref_features: RefFeatures) -> None:
        self._usecases = usecases
        self._changes = changes
        self._ref_features = ref_features

    def CreateRelease(
        self, request: release_pb.CreateReleaseRequest, context: grpc.ServicerContext
    ) -> release_pb.CreateReleaseResponse:
        draft = ReleaseDraft(
            version=request.release.version,
            projects=tuple(request.projects),
            fields=messages.fields_of(request.release),
            user_agent=_user_agent(context),
            commits=commit_messages.given_commits(request.commits) if request.HasField("commits") else None,
            refs=ref_messages.refs_of(request.refs) if request.refs.refs else None,
        )
        parent = names.parse_organization(request.parent, "parent")
        created = self._usecases.create_release(parent, draft, partial(mutation, request))
        return release_pb.CreateReleaseResponse(
            release=messages.release_message(created.release), already_existed=created.already_existed
        )

    def GetRelease(self, request: release_pb.GetReleaseRequest, context: grpc.ServicerContext) -> release_pb.Release:
        del context
        name = names.parse_release(request.name, "name")
        wanted = facts_messages.facts_query_of(request)
        if request.view != release_pb.RELEASE_VIEW_FULL:
            check_facts_query(wanted)
            return messages.release_message(self._usecases.get_release(name))
        return facts_messages.full_message(*self._usecases.reading.get_facts(name, wanted))

    def ListReleases(
        self, request: release_pb.ListReleasesRequest, context: grpc.ServicerContext
    ) -> release_pb.ListReleasesResponse:
        del context
        parent = names.parse_organization(request.parent, "parent")
        query = facts_messages.release_query_of(request)
        page, next_page_token = self._usecases.reading.list_releases(
            parent, query, request.page_size, request.page_token
        )
        return release_pb.ListReleasesResponse(
            releases=[messages.release_message(release) for release in page], next_page_token=next_page_token
        )

    def UpdateRelease(
        self, request: release_pb.UpdateReleaseRequest, context: grpc.ServicerContext
    ) -> release_pb.Release:
        del context
        update = ReleaseUpdate(
            fields=messages.fields_of(request.release),
            mask=tuple(request.update_mask.paths) if request.HasField("update_mask") else None,
            commits=commit_messages.given_commits(request.commits) if request.HasField("commits") else None,
            etag=request.release.etag,
            refs=ref_messages.updated_refs(request),
        )
        name = names.parse_release(request.release.name, "release.name")
        return messages.release_message(self._usecases.update_release(name, update, partial(mutation, request)))

    def DeleteRelease(self, request: release_pb.DeleteReleaseRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        del context
        name = names.parse_release(request.name, "name")
        self._usecases.deleting.delete_release(name, request.etag, partial(mutation, request))
        return empty_pb2.Empty()

    def ParseVersion(
        self, request: release_pb.ParseVersionRequest, context: grpc.ServicerContext
    ) -> release_pb.ParseVersionResponse:
        del context
        return facts_messages.parsed_message(request.version, request.other_version)

    def ListReleaseCommits(
        self, request: release_pb.ListReleaseCommitsRequest, context: grpc.ServicerContext
    ) -> release_pb.ListReleaseCommitsResponse:
        del context
        page, next_page_token = self._usecases.list_release_commits(
            names.parse_release(request.parent, "parent"), request.page_size, request.page_token
        )
        return release_pb.ListReleaseCommitsResponse(
            commits=[messages.commit_message(commit) for commit in page], next_page_token=next_page_token
        )

    def SetCommits(
        self, request: release_pb.SetCommitsRequest, context: grpc.ServicerContext
    ) -> release_pb.SetCommitsResponse:
        del context
        name, mode = names.parse_release(request.release, "release"), CommitMode(request.mode)
        given = commit_messages.given_commits(request.commits)
        return commit_messages.set_message(self._changes.set_commits(name, mode, given, partial(mutation, request)))

    def StreamCommits(
        self, request_iterator: Iterator[release_pb.StreamCommitsRequest], context: grpc.ServicerContext
    ) -> release_pb.SetCommitsResponse:
        del context
        header = commit_messages.stream_header(request_iterator)
        name, mode = names.parse_release(header.release, "header.release"), CommitMode(header.mode)
        parts = commit_messages.stream_parts(request_iterator)
        return commit_messages.set_message(self._changes.stream_commits(name, mode, parts, partial(mutation, header)))

    def ClearCommits(
        self, request: release_pb.ClearCommitsRequest, context: grpc.ServicerContext
    ) -> release_pb.ClearCommitsResponse:
        del context
        name = names.parse_release(request.release, "release")
        cleared = self._changes.clear_commits(name, partial(mutation, request))
        return release_pb.ClearCommitsResponse(
            release=messages.release_message(cleared.release), removed_count=cleared.removed
        )

    def ListReleaseFiles(
        self, request: release_pb.ListReleaseFilesRequest, context: grpc.ServicerContext
    ) -> release_pb.ListReleaseFilesResponse:
        del context
        page, next_page_token = self._changes.list_files(
            names.parse_release(request.parent, "parent"), request.page_size, request.page_token
        )
        return release_pb.ListReleaseFilesResponse(
            files=[commit_messages.file_message(file) for file in page], next_page_token=next_page_token
        )


def _user_agent(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == "user-agent" and isinstance(value, str):
            return value
    return ""
