"""Fifty calls at the same instant, through control's real door and both regions' real processes."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from siloway.control.v1 import organization_service_pb2 as organization_pb

from siloway_client.client import ControlClient, new_request_id
from tests.stack import RunningStack

pytestmark = pytest.mark.integration

AT_ONCE = 50


def test_fifty_at_once_for_one_slug_over_both_regions_are_all_answered_with_an_organization(
    stack: RunningStack,
) -> None:
    slug = f"crowd-{secrets.token_hex(4)}"
    start = threading.Barrier(AT_ONCE)

    def one(place: int, client: ControlClient) -> organization_pb.OrganizationChange:
        request = organization_pb.ProvisionOrganizationRequest(
            region=("us", "de")[place % 2],
            slug=slug,
            display_name="Crowd",
            owner_email=f"ada-{place}@example.com",
            request_id=new_request_id(),
        )
        start.wait(30)
        return client.organizations.ProvisionOrganization(request)

    with stack.control() as client, ThreadPoolExecutor(AT_ONCE) as pool:
        changes = list(pool.map(lambda place: one(place, client), range(AT_ONCE)))

    assert {change.state for change in changes} == {organization_pb.OrganizationChange.STATE_SUCCEEDED}
    assert len({change.organization for change in changes}) == AT_ONCE
    slugs = {change.slug: change.region for change in changes}
    assert len(slugs) == AT_ONCE
    assert [each for each in slugs if not each.startswith(f"{slug}-")] == [slug], "one has it bare, the others suffixed"
    for region in ("us", "de"):
        there = {
            row[0] for row in stack.query(region, "SELECT slug FROM organization WHERE starts_with(slug, %s)", slug)
        }
        assert there == {each for each, lives_in in slugs.items() if lives_in == region}
    kept = "SELECT slug FROM slug_reservation WHERE starts_with(slug, %s) AND type = 0 AND state = 1"
    assert {row[0] for row in stack.query("control", kept, slug)} == set(slugs)
