"""Short ways to the calls that tests of deploys make, and to the rows behind them."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import deploy_service_pb2 as deploy_pb

from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def stamp(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def deployed(
    client: Client,
    version: str = "1.0",
    environment: str = "production",
    *,
    projects: tuple[str, ...] = (),
    running: bool = False,
    request_id: str = "",
    organization: str = "acme",
    finished: datetime | None = None,
    **fields: Any,
) -> deploy_pb.Deploy:
    told = deploy_pb.Deploy(environment=environment, **fields)
    if finished is not None:
        told.finish_time.CopyFrom(stamp(finished))
    answer: deploy_pb.Deploy = client.deploys.CreateDeploy(
        deploy_pb.CreateDeployRequest(
            parent=f"organizations/{organization}/releases/{version}",
            deploy=told,
            projects=projects,
            running=running,
            request_id=request_id or new_id(),
        )
    )
    return answer


def updated(
    client: Client,
    name: str,
    *mask: str,
    finished: datetime | None = None,
    request_id: str = "",
    **fields: Any,
) -> deploy_pb.Deploy:
    request = deploy_pb.UpdateDeployRequest(
        deploy=deploy_pb.Deploy(name=name, **fields), request_id=request_id or new_id()
    )
    if finished is not None:
        request.deploy.finish_time.CopyFrom(stamp(finished))
    if mask:
        request.update_mask.paths.extend(mask)
    answer: deploy_pb.Deploy = client.deploys.UpdateDeploy(request)
    return answer


def listed(client: Client, version: str = "1.0", **query: Any) -> deploy_pb.ListDeploysResponse:
    answer: deploy_pb.ListDeploysResponse = client.deploys.ListDeploys(
        deploy_pb.ListDeploysRequest(parent=f"organizations/acme/releases/{version}", **query)
    )
    return answer


def environments(client: Client, **query: Any) -> list[str]:
    """The names of the first page."""
    answer = client.deploys.ListEnvironments(deploy_pb.ListEnvironmentsRequest(parent="organizations/acme", **query))
    return [each.display_name for each in answer.environments]


def release_id(features: RegionFeatures, version: str = "1.0") -> int:
    return int(features.value("SELECT id FROM release WHERE version = :version", version=version))


def add_head(features: RegionFeatures, version: str = "1.0", *, repository: str = "shop", key: str = "a" * 40) -> None:
    """A head commit as a ref sets it, without commits of the release."""
    features.rows(
        """
        INSERT INTO repository (organization_id, name, status, date_added)
        SELECT organization_id, :name, 0, :now FROM release WHERE version = :version
        ON CONFLICT (organization_id, name) WHERE status = 0 AND provider IS NULL DO NOTHING
        """,
        name=repository,
        version=version,
        now=features.clock.now(),
    )
    features.rows(
        """
        INSERT INTO commit (organization_id, repository_id, key, date_added)
        SELECT organization_id, id, :key, :now FROM repository WHERE name = :name
        ON CONFLICT (repository_id, key) DO NOTHING
        """,
        name=repository,
        key=key,
        now=features.clock.now(),
    )
    features.rows(
        """
        INSERT INTO release_head_commit (organization_id, release_id, repository_id, commit_id)
        SELECT release.organization_id, release.id, commit.repository_id, commit.id FROM release, commit
        JOIN repository ON repository.id = commit.repository_id
        WHERE release.version = :version AND repository.name = :name AND commit.key = :key
        """,
        version=version,
        name=repository,
        key=key,
    )


def add_fetch(features: RegionFeatures, version: str = "1.0", state: str = "queued") -> None:
    features.rows(
        """
        INSERT INTO commit_fetch (id, organization_id, release_id, principal, refs, state, created_at, updated_at)
        SELECT (SELECT count(*) + 1 FROM commit_fetch), organization_id, id, 'tokens/1', '[]', :state, :now, :now
        FROM release WHERE version = :version
        """,
        version=version,
        state=state,
        now=features.clock.now(),
    )


def announcements(features: RegionFeatures) -> list[int]:
    """The deploys whose messages lie in the region's outbox, in their order."""
    found = features.rows("SELECT subject FROM outbox_message WHERE category = 'deploy_announced' ORDER BY sequence")
    return [int(row[0]) for row in found]


def activities(features: RegionFeatures) -> list[tuple[int, int]]:
    """(project, deploy) of the DEPLOY activities."""
    found = features.rows("SELECT project_id, deploy_id FROM activity WHERE type = 17 ORDER BY project_id, deploy_id")
    return [(int(project), int(deploy)) for project, deploy in found]
