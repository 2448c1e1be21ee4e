"""A client of a region's public door with short ways to call what most tests of releases call."""

import builtins
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from siloway.region.v1 import deploy_service_pb2_grpc as deploy_rpc
from siloway.region.v1 import issue_service_pb2_grpc as issue_rpc
from siloway.region.v1 import project_service_pb2_grpc as project_rpc
from siloway.region.v1 import region_organization_service_pb2_grpc as organization_rpc
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import release_service_pb2_grpc as release_rpc
from siloway.region.v1 import repository_service_pb2_grpc as repository_rpc


class Client:
    """The stubs, with a token in every call and short ways for the calls that tests make most."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self.token = token
        called = grpc.intercept_channel(channel, _Token(token))
        self.organization: Any = organization_rpc.RegionOrganizationServiceStub(called)
        self.project: Any = project_rpc.ProjectServiceStub(called)
        self.release: Any = release_rpc.ReleaseServiceStub(called)
        self.repository: Any = repository_rpc.RepositoryServiceStub(called)
        self.deploys: Any = deploy_rpc.DeployServiceStub(called)
        self.issue: Any = issue_rpc.IssueServiceStub(called)

    def create(
        self,
        version: str,
        projects: tuple[str, ...] = ("web",),
        *,
        parent: str = "organizations/acme",
        request_id: str = "",
        **fields: Any,
    ) -> release_pb.CreateReleaseResponse:
        answer: release_pb.CreateReleaseResponse = self.release.CreateRelease(
            release_pb.CreateReleaseRequest(
                parent=parent,
                release=release_pb.Release(version=version, **fields),
                projects=projects,
                request_id=request_id or new_id(),
            )
        )
        return answer

    def get(self, version: str, organization: str = "acme") -> release_pb.Release:
        answer: release_pb.Release = self.release.GetRelease(
            release_pb.GetReleaseRequest(name=f"organizations/{organization}/releases/{version}")
        )
        return answer

    def update(
        self,
        version: str,
        *,
        mask: tuple[str, ...] | None = None,
        commits: list[release_pb.CommitSpec] | None = None,
        request_id: str = "",
        timeout: float = 20,
        organization: str = "acme",
        **fields: Any,
    ) -> release_pb.Release:
        request = release_pb.UpdateReleaseRequest(
            release=release_pb.Release(name=f"organizations/{organization}/releases/{version}", **fields),
            request_id=request_id or new_id(),
        )
        if mask is not None:
            request.update_mask.paths.extend(mask)
        if commits is not None:
            request.commits.commits.extend(commits)
            request.commits.SetInParent()
        answer: release_pb.Release = self.release.UpdateRelease(request, timeout=timeout)
        return answer

    def set_commits(
        self,
        version: str,
        commits: Sequence[release_pb.CommitSpec],
        mode: str = "REPLACE_ALL",
        *,
        request_id: str = "",
        timeout: float = 20,
    ) -> release_pb.SetCommitsResponse:
        request = release_pb.SetCommitsRequest(
            release=f"organizations/acme/releases/{version}",
            mode=commits_pb.CommitMode.Value(f"COMMIT_MODE_{mode}"),
            commits=release_pb.CommitSet(commits=commits),
            request_id=request_id or new_id(),
        )
        answer: release_pb.SetCommitsResponse = self.release.SetCommits(request, timeout=timeout)
        return answer

    def stream_commits(
        self, messages: Iterable[release_pb.StreamCommitsRequest], *, timeout: float = 20
    ) -> release_pb.SetCommitsResponse:
        metadata = (("authorization", f"Bearer {self.token}"),)
        answer: release_pb.SetCommitsResponse = self.release.StreamCommits(
            iter(messages), timeout=timeout, metadata=metadata
        )
        return answer

    def clear_commits(self, version: str, *, request_id: str = "") -> release_pb.ClearCommitsResponse:
        request = release_pb.ClearCommitsRequest(
            release=f"organizations/acme/releases/{version}", request_id=request_id or new_id()
        )
        answer: release_pb.ClearCommitsResponse = self.release.ClearCommits(request)
        return answer

    def commit_ids(self, version: str, *, page_size: int = 1000) -> Sequence[str]:
        """The keys of all commits of the release, newest first."""
        found: builtins.list[str] = []
        token = ""
        while True:
            page = self.commits(version, page_size=page_size, page_token=token)
            found += [commit.id for commit in page.commits]
            token = page.next_page_token
            if not token:
                return found

    def list(self, **query: Any) -> list[str]:
        """The versions of the first page."""
        answer = self.release.ListReleases(release_pb.ListReleasesRequest(parent="organizations/acme", **query))
        return [release.version for release in answer.releases]

    def commits(self, version: str, **page: Any) -> release_pb.ListReleaseCommitsResponse:
        answer: release_pb.ListReleaseCommitsResponse = self.release.ListReleaseCommits(
            release_pb.ListReleaseCommitsRequest(parent=f"organizations/acme/releases/{version}", **page)
        )
        return answer


class _Token(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        with_token = _Details(details.method, details.timeout or 20, self._metadata)
        return continuation(with_token, request)


@dataclass
class _Details(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any = None
    wait_for_ready: bool | None = None
    compression: Any = None


def new_id() -> str:
    """A request id."""
    return str(uuid.uuid4())
