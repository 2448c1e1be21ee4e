"""Organizations, projects and releases of one region behind a real public door, with all interceptors.

Organizations are put into the table by hand, as an import would; everything else is done by calls.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from siloway.region.v1 import deploy_service_pb2_grpc as deploy_rpc
from siloway.region.v1 import issue_service_pb2_grpc as issue_rpc
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import project_service_pb2_grpc as project_rpc
from siloway.region.v1 import region_organization_service_pb2_grpc as organization_rpc
from siloway.region.v1 import release_service_pb2_grpc as release_rpc
from siloway.region.v1 import repository_service_pb2_grpc as repository_rpc
from sqlalchemy import text

from region_silo.deploys import servicer as deploys
from region_silo.deploys.usecases import DeployUseCases
from region_silo.fetches.servicer import RefFeatures
from region_silo.issues import servicer as issues
from region_silo.issues.usecases import IssueUseCases
from region_silo.members import servicer as members
from region_silo.members.teams import TeamLookup, TeamUseCases
from region_silo.members.usecases import MemberUseCases
from region_silo.organizations import servicer as organizations
from region_silo.organizations.lookup import OrganizationLookup, organization_cache
from region_silo.organizations.usecases import OrganizationUseCases
from region_silo.projects import servicer as projects
from region_silo.projects.lookup import ProjectLookup, project_cache
from region_silo.projects.usecases import ProjectUseCases
from region_silo.releases import servicer as releases
from region_silo.releases.commit_changes import CommitChanges
from region_silo.releases.usecases import ReleaseUseCases
from region_silo.repositories import servicer as repositories
from region_silo.repositories.pull_requests import PullRequestUseCases
from region_silo.repositories.usecases import RepositoryUseCases
from region_silo.routing.owners import Owners
from shared.clock import Clock, SystemClock
from shared.database import Database
from shared.errors import Unauthenticated
from shared.model_cache_gate import CacheGate
from shared.redis import RedisLink
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from shared.snowflake.allocator import SnowflakeAllocator
from tests.region_client import Client, new_id

ALL_SCOPES = frozenset({"org:read", "project:read", "project:write"})
CALLERS: Mapping[str, Caller] = {
    "all": Caller("tokens/1", ALL_SCOPES),
    "other": Caller("tokens/2", ALL_SCOPES),
    "reader": Caller("tokens/3", frozenset({"org:read", "project:read"})),
    "ci": Caller("tokens/4", frozenset({"org:ci"})),
    "bound": Caller("tokens/5", ALL_SCOPES, organization_id=100),
    "nothing": Caller("tokens/6"),
    "administrator": Caller("tokens/7", ALL_SCOPES | {"org:admin"}),
    "releaser": Caller("tokens/9", ALL_SCOPES | {"project:releases"}),
    "bound administrator": Caller("tokens/8", ALL_SCOPES | {"org:admin"}, organization_id=100),
}
USERS = "user "
"""A secret that begins so and goes on with a number is of a token that acts as that user."""


def _caller(secret: str) -> Caller:
    if secret.startswith(USERS):
        user_id = int(secret.removeprefix(USERS))
        return Caller(f"users/{user_id}", ALL_SCOPES | {"org:admin", "project:releases"}, user_id=user_id)
    if secret not in CALLERS:
        raise Unauthenticated
    return CALLERS[secret]


class RegionFeatures:
    """One region's process and clients of it."""

    def __init__(
        self,
        database_url: str,
        redis_url: str | None,
        *,
        clock: Clock | None = None,
        owners: Callable[[Database], Owners] | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.clock = clock
        self.database = Database.open(database_url, clock=clock, pool_size=40)
        self.ids = SnowflakeAllocator.open(database_url, clock=SystemClock(), number=1)
        self.link = RedisLink.open(redis_url, clock=SystemClock(), timeout_s=1) if redis_url else None
        gate = CacheGate(self.database, clock=SystemClock())
        self.organization_cache = organization_cache(self.database, self.link, gate, "us")
        self.project_cache = project_cache(self.database, self.link, gate, "us")
        self.organizations = OrganizationLookup(
            self.organization_cache, self.database, owners(self.database) if owners else None
        )
        self.projects = ProjectLookup(self.database, self.project_cache)
        teams = TeamLookup(self.database)
        shared = (self.database, self.ids, self.organizations, self.projects)
        self.server = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(
                *organizations.METHODS,
                *members.METHODS,
                *projects.METHODS,
                *releases.METHODS,
                *repositories.METHODS,
                *deploys.METHODS,
                *issues.METHODS,
            ),
            door=Door.PUBLIC,
            servicers=[
                (
                    organization_rpc.add_RegionOrganizationServiceServicer_to_server,
                    members.RegionOrganizationServicer(
                        OrganizationUseCases(self.database, self.organizations),
                        MemberUseCases(self.database, self.organizations, teams),
                        TeamUseCases(*shared, teams),
                    ),
                ),
                (project_rpc.add_ProjectServiceServicer_to_server, projects.ProjectServicer(ProjectUseCases(*shared))),
                (
                    release_rpc.add_ReleaseServiceServicer_to_server,
                    releases.ReleaseServicer(
                        ReleaseUseCases(*shared),
                        CommitChanges(self.database, self.organizations),
                        RefFeatures.of(*shared[:3]),
                    ),
                ),
                (
                    repository_rpc.add_RepositoryServiceServicer_to_server,
                    repositories.RepositoryServicer(
                        RepositoryUseCases(self.database, self.organizations),
                        PullRequestUseCases(self.database, self.organizations),
                    ),
                ),
                (deploy_rpc.add_DeployServiceServicer_to_server, deploys.DeployServicer(DeployUseCases(*shared))),
                (issue_rpc.add_IssueServiceServicer_to_server, issues.IssueServicer(IssueUseCases(*shared))),
            ],
            authenticate=_caller,
        )
        self.server.start()
        self.channels: list[grpc.Channel] = []
        self.client = self.client_of("all")

    def client_of(self, token: str) -> "Client":
        """A client with that token, on a connection of its own."""
        channel = grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.channels.append(channel)
        return Client(channel, token)

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        self.server.stop(1)
        self.database.close()
        self.ids.close()
        if self.link is not None:
            self.link.close()

    def rows(self, statement: str, **values: object) -> list[Any]:
        """What a statement finds or returns, committed."""

        def work(transaction: Any) -> list[Any]:
            result = transaction.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

        return self.database.transact(work)

    def value(self, statement: str, **values: object) -> Any:
        """The one value that a statement finds."""
        ((value,),) = self.rows(statement, **values)
        return value

    def user(self, user_id: int) -> "Client":
        """A client that acts as that user, with all scopes."""
        return self.client_of(f"{USERS}{user_id}")

    def add_organization(self, organization_id: int, slug: str | None, *, state: int = 1) -> None:
        self.rows(
            """
            INSERT INTO organization
                (id, slug, base_slug, name, state, status, default_role, flags, is_test, date_added)
            VALUES (:id, :slug, 'base', :name, :state, 0, 'member', 0, false, :now)
            """,
            id=organization_id,
            slug=slug,
            name=f"Organization {organization_id}",
            state=state,
            now=self.clock.now(),
        )

    def add_project(self, slug: str, organization: str = "organizations/100") -> int:
        """A project made by a call; its id."""
        project = project_pb.Project(slug=slug, display_name=slug)
        made = self.client.project.CreateProject(
            project_pb.CreateProjectRequest(parent=organization, project=project, request_id=new_id())
        )
        return int(made.uid)


@contextmanager
def opened(database_url: str, redis_url: str | None) -> Iterator[RegionFeatures]:
    """The features with organization 100, `acme`, and its project `web`; control has told of the users 1 to 999."""
    features = RegionFeatures(database_url, redis_url)
    try:
        features.add_organization(100, "acme")
        features.rows("INSERT INTO known_user (id, state, version) SELECT id, 1, 1 FROM generate_series(1, 999) AS id")
        features.add_project("web")
        yield features
    finally:
        features.close()
