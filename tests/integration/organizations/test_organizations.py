"""Organizations of a region through its public door."""

from typing import Any

import grpc
import pytest
from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from tests.refusals import refused
from tests.region_client import Client
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration


def get(client: Client, key: str) -> organization_pb.Organization:
    answer: organization_pb.Organization = client.organization.GetOrganization(
        organization_pb.GetOrganizationRequest(name=f"organizations/{key}")
    )
    return answer


def ids(client: Client, **page: Any) -> tuple[list[str], str]:
    answer = client.organization.ListOrganizations(organization_pb.ListOrganizationsRequest(**page))
    return [row.uid for row in answer.organizations], answer.next_page_token


def test_an_organization_is_found_by_id_and_by_slug_in_any_case(client: Client) -> None:
    found = get(client, "acme")
    assert found == get(client, "ACME") == get(client, "100")
    assert (found.name, found.uid, found.slug) == ("organizations/100", "100", "acme")
    assert (found.display_name, found.state) == ("Organization 100", organization_pb.Organization.STATE_ACTIVE)
    assert found.HasField("create_time")


def test_an_organization_that_is_being_imported_is_shown_without_a_slug(
    features: RegionFeatures, client: Client
) -> None:
    features.add_organization(200, None, state=0)
    found = get(client, "200")
    assert (found.slug, found.state) == ("", organization_pb.Organization.STATE_IMPORTING)


@pytest.mark.parametrize("key", ["nobody", "101", "0100", "9" * 40])
def test_row_04_an_unknown_organization_is_not_found(client: Client, key: str) -> None:
    with refused() as found:
        get(client, key)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "ORGANIZATION_NOT_FOUND")
    assert found[0].resource == ("siloway/Organization", f"organizations/{key}")


def test_a_bound_token_sees_its_own_organization_only(features: RegionFeatures, client: Client) -> None:
    features.add_organization(200, "globex")
    bound = features.client_of("bound")
    assert ids(client) == (["100", "200"], "")
    assert ids(bound) == (["100"], "")
    assert get(bound, "acme").uid == "100"
    with refused() as found:
        get(bound, "globex")
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"


def test_pages_are_in_the_order_of_ids_and_bound_to_their_caller(features: RegionFeatures, client: Client) -> None:
    for organization_id in range(101, 104):
        features.add_organization(organization_id, f"o{organization_id}")
    first, token = ids(client, page_size=3)
    rest, end = ids(client, page_size=3, page_token=token)
    assert (first + rest, end) == (["100", "101", "102", "103"], "")
    with refused() as found:
        ids(features.client_of("bound"), page_token=token)
    assert found[0].reason == "INVALID_PAGE_TOKEN"


def test_row_06_reading_needs_its_scope(features: RegionFeatures) -> None:
    with refused() as found:
        get(features.client_of("ci"), "acme")
    assert (found[0].reason, found[0].metadata["scope"]) == ("SCOPE_MISSING", "org:read")


def test_release_case_49_a_changed_slug_is_seen_at_once(features: RegionFeatures, client: Client) -> None:
    get(client, "acme")
    with features.organization_cache.changing(100):
        features.rows("UPDATE organization SET slug = 'initech' WHERE id = 100")
    assert get(client, "initech").uid == "100"
    assert get(client, "100").slug == "initech"
    with refused() as found:
        get(client, "acme")
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"
