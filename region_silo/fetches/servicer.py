"""ReleaseService's calls about refs, fetches and comparisons on the wire: nothing decided here."""

from dataclasses import dataclass
from functools import partial

import grpc
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.fetches import messages
from region_silo.fetches.usecases import FetchUseCases
from region_silo.organizations.lookup import OrganizationLookup
from region_silo.releases.comparing import ComparingUseCases
from region_silo.releases.messages import release_message
from region_silo.releases.ref_changes import RefUseCases
from shared import names
from shared.database import Database
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose
from shared.snowflake.allocator import SnowflakeAllocator

_SERVICE = "/siloway.region.v1.ReleaseService"
_WRITE = ("project:write", "project:admin", "project:releases", "org:ci")
_READ = ("project:read", *_WRITE)

METHODS: tuple[Method, ...] = (
    Method(f"{_SERVICE}/SetRefs", Door.PUBLIC, _WRITE, mutating=True, whose=Whose.ORGANIZATION, names=("release",)),
    Method(f"{_SERVICE}/GetCommitFetch", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("name",)),
    Method(f"{_SERVICE}/ListCommitFetches", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("parent",)),
    Method(
        f"{_SERVICE}/CompareReleases",
        Door.PUBLIC,
        _READ,
        whose=Whose.ORGANIZATION,
        names=("release", "base_release"),
    ),
)


@dataclass(frozen=True)
class RefFeatures:
    """The use cases behind these calls."""

    refs: RefUseCases
    fetches: FetchUseCases
    comparing: ComparingUseCases

    @classmethod
    def of(cls, database: Database, ids: SnowflakeAllocator, organizations: OrganizationLookup) -> "RefFeatures":
        """All of them over one database."""
        return cls(
            RefUseCases(database, ids, organizations),
            FetchUseCases(database, organizations),
            ComparingUseCases(database, organizations),
        )


class RefCalls:
    """The part of ReleaseService that is about refs, fetches and comparisons."""

    _ref_features: RefFeatures

    def SetRefs(self, request: release_pb.SetRefsRequest, context: grpc.ServicerContext) -> release_pb.SetRefsResponse:
        del context
        done = self._ref_features.refs.set_refs(
            names.parse_release(request.release, "release"),
            messages.refs_of(request.refs, environment=request.environment),
            with_fetch=not request.without_fetch,
            identify=partial(mutation, request),
        )
        fetch = None if done.fetch is None else messages.fetch_message(done.fetch)
        return release_pb.SetRefsResponse(release=release_message(done.release), fetch=fetch)

    def GetCommitFetch(
        self, request: release_pb.GetCommitFetchRequest, context: grpc.ServicerContext
    ) -> commits_pb.CommitFetch:
        del context
        return messages.fetch_message(
            self._ref_features.fetches.get_fetch(names.parse_commit_fetch(request.name, "name"))
        )

    def ListCommitFetches(
        self, request: release_pb.ListCommitFetchesRequest, context: grpc.ServicerContext
    ) -> release_pb.ListCommitFetchesResponse:
        del context
        page, next_page_token = self._ref_features.fetches.list_fetches(
            names.parse_release(request.parent, "parent"), request.page_size, request.page_token
        )
        return release_pb.ListCommitFetchesResponse(
            commit_fetches=[messages.fetch_message(fetch) for fetch in page], next_page_token=next_page_token
        )

    def CompareReleases(
        self, request: release_pb.CompareReleasesRequest, context: grpc.ServicerContext
    ) -> release_pb.CompareReleasesResponse:
        del context
        comparison = self._ref_features.comparing.compare(
            names.parse_release(request.release, "release"),
            names.parse_release(request.base_release, "base_release"),
            request.page_size,
            request.page_token,
        )
        return messages.comparison_message(comparison)
