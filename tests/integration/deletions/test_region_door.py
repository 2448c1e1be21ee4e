"""A region's public door while an organization is deleted: read only, then not found, whatever the caches hold."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from region_silo.deletions.purging import Purger
from region_silo.deletions.usecases import apply_deletions
from shared import delivery
from shared.deletion import DeletionStage
from shared.outbox.domain import Message
from tests.refusals import refused
from tests.region_features import RegionFeatures, opened

pytestmark = pytest.mark.integration

ORGANIZATION = organization_pb.GetOrganizationRequest(name="organizations/acme")
State = organization_pb.Organization


ORGANIZATION_ID = 100


@pytest.fixture
def region(region_database_url: str, redis_url: str) -> Iterator[RegionFeatures]:
    with opened(region_database_url, redis_url) as features:
        yield features


def tell(region: RegionFeatures, stage: DeletionStage) -> None:
    """What control's delivery does."""
    purge_at = None if stage is DeletionStage.NONE else region.clock.now() + timedelta(days=1)
    payload = delivery.encode(delivery.OrganizationDeletion(stage, purge_at))
    message = Message("a", 1, delivery.ORGANIZATION_DELETION.name, str(ORGANIZATION_ID), payload, 1)
    with region.organization_cache.changing(ORGANIZATION_ID):
        region.database.transact(lambda transaction: apply_deletions(transaction, [message]))


def test_an_organization_is_read_only_then_not_found_and_no_cache_says_otherwise(region: RegionFeatures) -> None:
    client = region.client
    project_id = region.value("SELECT id FROM project")
    project = project_pb.GetProjectRequest(name=f"organizations/acme/projects/{project_id}")
    for _ in range(2):  # into the caches
        assert client.organization.GetOrganization(ORGANIZATION).state == State.STATE_ACTIVE
        client.project.GetProject(project)

    tell(region, DeletionStage.PENDING)
    shown = client.organization.GetOrganization(ORGANIZATION)
    assert (shown.state, shown.purge_time.seconds > 0) == (State.STATE_PENDING_DELETION, True)
    listed = client.organization.ListOrganizations(organization_pb.ListOrganizationsRequest()).organizations
    assert list(listed) == []
    everything = organization_pb.ListOrganizationsRequest(show_deleted=True)
    assert [each.slug for each in client.organization.ListOrganizations(everything).organizations] == ["acme"]
    assert client.project.GetProject(project).slug == "web"
    with refused() as refusals:
        region.add_project("api")
    assert (refusals[0].reason, "purge_time" in refusals[0].metadata) == ("ORGANIZATION_PENDING_DELETION", True)

    tell(region, DeletionStage.NONE)
    assert region.add_project("api")

    tell(region, DeletionStage.DELETING)
    for _ in range(2):
        with refused() as refusals:
            client.organization.GetOrganization(ORGANIZATION)
        assert refusals[0].reason == "ORGANIZATION_NOT_FOUND"
        changing = {"organization": region.organization_cache.changing, "project": region.project_cache.changing}
        Purger(region.database, changing).run_once()
    assert region.rows("SELECT id FROM organization") == []
    assert region.organization_cache.get_from_cache(id=ORGANIZATION_ID) is None
    assert region.organization_cache.get_from_cache(slug="acme") is None
    assert region.project_cache.get_from_cache(id=project_id) is None

    region.add_organization(101, "acme")  # the slug's next owner
    assert client.organization.GetOrganization(ORGANIZATION).uid == "101"
