"""What trackers are to be told goes from a region to control, once each and in order."""

from collections.abc import Iterator

import pytest

from control_silo.announcements.usecases import keep_status_syncs
from region_silo.issues.syncing import tell_trackers
from shared import delivery
from shared.delivery import StatusSync
from shared.errors import PeerRefused
from tests.integration.callbacks.conftest import silos
from tests.integration.callbacks.silos import Silos, execute, pending, rows
from tests.integration.people.crowd import Crowd
from tests.integration.provisioning.asking import id_of, made

__all__ = ["silos"]

pytestmark = pytest.mark.integration

_KEPT = """
    SELECT payload ->> 'integration', payload ->> 'key', CAST(payload ->> 'resolved' AS boolean), payload ->> 'release'
    FROM announcement ORDER BY number
"""


@pytest.fixture
def organization(silos: Silos) -> int:
    return id_of(made(silos))


@pytest.fixture
def crowd(silos: Silos) -> Iterator[Crowd]:
    crowd = Crowd(silos)
    try:
        yield crowd
    finally:
        crowd.close()


def link(silos: Silos, organization: int, count: int) -> None:
    """Issue 1, linked with so many of a tracker."""
    region = silos.regions["us"]
    values = {"organization": organization, "count": count, "now": silos.clock.now()}
    execute(
        region,
        """
        INSERT INTO project (id, organization_id, slug, name, status, flags, public, date_added, version)
        VALUES (1, :organization, 'web', 'web', 0, 0, false, :now, 1)
        """,
        **values,
    )
    execute(
        region,
        """
        INSERT INTO issue (id, organization_id, project_id, short_id, title, first_seen, last_seen)
        VALUES (1, :organization, 1, 1, 'broken', :now, :now)
        """,
        **values,
    )
    execute(
        region,
        """
        WITH tracker AS (
            INSERT INTO tracker_issue (organization_id, integration, key, date_added)
            SELECT :organization, 'jira', 'OPS-' || n, :now FROM generate_series(1, :count) AS n RETURNING id
        )
        INSERT INTO issue_link (organization_id, issue_id, project_id, linked_type, linked_id, datetime)
        SELECT :organization, 1, 1, 3, id, :now FROM tracker
        """,
        **values,
    )


def test_control_keeps_what_was_told_once_and_in_order(silos: Silos, organization: int) -> None:
    link(silos, organization, 1)
    region = silos.regions["us"]
    region.transact(lambda t: tell_trackers(t, organization, [1], is_resolved=True, version="1.0"))
    region.transact(lambda t: tell_trackers(t, organization, [1], is_resolved=False))
    silos.drain()
    silos.drain()
    assert rows(silos.control, _KEPT) == [("jira", "OPS-1", True, "1.0"), ("jira", "OPS-1", False, "")]
    assert pending(region) == 0


def test_many_are_told_in_few_messages(silos: Silos, organization: int) -> None:
    count = 2 * delivery.STATUS_SYNCS_MAX + 1
    link(silos, organization, count)
    region = silos.regions["us"]
    region.transact(lambda t: tell_trackers(t, organization, [1], is_resolved=True))
    assert pending(region) == 3
    silos.drain()
    assert rows(silos.control, "SELECT count(*), count(DISTINCT payload ->> 'key') FROM announcement") == [
        (count, count)
    ]


def test_a_region_speaks_for_its_own_organizations_only(silos: Silos, organization: int) -> None:
    sync = StatusSync(organization, 1, "jira", "OPS-1", resolved=True, sync_id="a")
    with pytest.raises(PeerRefused):
        silos.control.transact(lambda t: keep_status_syncs(t, region="de", told=[sync]))
    assert rows(silos.control, _KEPT) == []


def test_a_sync_that_is_told_again_is_kept_once(silos: Silos, organization: int) -> None:
    sync = StatusSync(organization, 1, "jira", "OPS-1", resolved=True, sync_id="a")
    later = StatusSync(organization, 1, "jira", "OPS-1", resolved=True, sync_id="b")
    silos.control.transact(lambda t: keep_status_syncs(t, region="us", told=[sync, sync]))
    silos.control.transact(lambda t: keep_status_syncs(t, region="us", told=[sync, later]))
    assert len(rows(silos.control, _KEPT)) == 2


def test_a_region_learns_the_addresses_of_its_members(silos: Silos, crowd: Crowd) -> None:
    organization, user = crowd.organization(slug="other"), crowd.user("grace", "Grace@x.org")
    crowd.add(organization, user)
    silos.drain()
    known = rows(silos.regions["us"], "SELECT addresses FROM known_user WHERE id = :user", user=user)
    assert known == [(["grace@x.org"],)]
