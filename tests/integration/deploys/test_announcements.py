"""Control keeps what regions announce, once each, and integrations can follow it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from siloway.control.v1 import announcement_service_pb2 as announcement_pb

from control_silo.announcements.cleaner import announcement_tasks
from control_silo.announcements.domain import Item, Kind
from control_silo.announcements.usecases import keep
from shared.cleaner import Cleaner
from shared.database import Transaction
from shared.delivery import DEPLOY_ANNOUNCED
from shared.errors import PeerRefused
from tests.clock import FakeClock
from tests.faults.provisioning.test_faults import lines_are_good, replies_are_lost
from tests.integration.callbacks.silos import execute, pending, rows
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.deletions.deleting import left_in_region, purged
from tests.integration.deploys.announcing import Announcing
from tests.integration.deploys.asking import NOON, deployed
from tests.integration.provisioning.asking import ADA
from tests.invariants import check_quiet
from tests.refusals import refusal_of

pytestmark = pytest.mark.integration


def items(announcing: Announcing, *keys: str) -> list[Item]:
    return [Item(announcing.organization, key, {"issue": key}) for key in keys]


def test_a_deploy_is_told_to_control_once_with_all_that_integrations_need(announcing: Announcing) -> None:
    announcing.client.create("shop@1.0")
    made = deployed(announcing.client, "shop@1.0", display_name="Friday", url="https://x.example", finished=NOON)
    assert announcing.kept() == []
    announcing.silos.drain()
    (told,) = announcing.ask().announcements
    assert told.name == f"organizations/{announcing.organization}/announcements/1"
    assert (told.number, told.kind, told.region, told.key) == (
        1,
        announcement_pb.Announcement.KIND_DEPLOY,
        "us",
        made.uid,
    )
    assert json.loads(told.payload_json) == {
        "deploy": made.uid,
        "release": "shop@1.0",
        "environment": "production",
        "display_name": "Friday",
        "url": "https://x.example",
        "start_time": None,
        "finish_time": NOON.isoformat(),
        "announce_time": made.announce_time.ToDatetime(NOON.tzinfo).isoformat(),
        "projects": [made.projects[0].rpartition("/")[2]],
        "project_count": 1,
    }
    check_quiet(announcing.silos.control, announcing.silos.regions)


def test_a_delivery_that_comes_again_is_kept_once(announcing: Announcing, clock: FakeClock) -> None:
    announcing.client.create("1.0")
    made = [int(deployed(announcing.client).uid) for _ in range(3)]
    lost = replies_are_lost(announcing.silos, "control", DEPLOY_ANNOUNCED.name)
    announcing.silos.drain("us")
    assert lost() == 1
    assert announcing.kept() == made
    assert pending(announcing.silos.regions["us"]) == 3
    lines_are_good(announcing.silos, clock)
    assert announcing.kept() == made
    check_quiet(announcing.silos.control, announcing.silos.regions)


def test_what_a_restored_region_tells_again_is_kept_once(announcing: Announcing) -> None:
    control = announcing.silos.control
    first = control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, "1", "2", "2")))
    again = control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, "2", "3")))
    assert (first, again) == (2, 1)
    assert announcing.kept() == [1, 2, 3]
    assert control.transact(lambda t: keep(t, "us", Kind.STATUS_SYNC, items(announcing, "2"))) == 1
    kinds = announcing.ask(kind=announcement_pb.Announcement.KIND_STATUS_SYNC).announcements
    assert [(each.number, each.key) for each in kinds] == [(4, "2")]


def test_announcements_are_followed_by_number_and_page_by_page(announcing: Announcing) -> None:
    announcing.silos.control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, *map(str, range(1, 8)))))
    found, token = [], ""
    while True:
        page = announcing.ask(page_size=3, page_token=token)
        found += [each.number for each in page.announcements]
        token = page.next_page_token
        if not token:
            break
    assert found == [1, 2, 3, 4, 5, 6, 7]
    assert announcing.kept(after=5) == [6, 7]
    assert announcing.kept(after=7) == []
    announcing.silos.control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, "8")))
    assert announcing.kept(after=7) == [8]


def test_who_follows_misses_nothing_that_is_committed_later(announcing: Announcing) -> None:
    control = announcing.silos.control
    written, go_on = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        keep(transaction, "us", Kind.DEPLOY, items(announcing, "1"))
        written.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(control.transact, slow)
        assert written.wait(30)
        second = pool.submit(control.transact, lambda t: keep(t, "us", Kind.STATUS_SYNC, items(announcing, "2")))
        wait_for_a_blocked_session(control)
        assert announcing.kept() == [], "the later one does not overtake"
        go_on.set()
        first.result(30)
        second.result(30)
    assert [(each.number, each.key) for each in announcing.ask().announcements] == [(1, "1"), (2, "2")]


def test_a_region_tells_of_its_own_organizations_only(announcing: Announcing) -> None:
    control = announcing.silos.control
    with pytest.raises(PeerRefused):
        control.transact(lambda t: keep(t, "de", Kind.DEPLOY, items(announcing, "1")))
    gone = [Item(77, "1", {}), *items(announcing, "2")]
    assert control.transact(lambda t: keep(t, "us", Kind.DEPLOY, gone)) == 1, "nobody is 77 any more"


def test_only_who_sees_all_projects_reads_announcements(announcing: Announcing) -> None:
    organization = announcing.organization
    announcing.silos.control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, "1")))
    announcing.silos.drain()
    for who in ("integration", "bound", f"user {ADA}"):
        assert len(announcing.ask(who, str(organization)).announcements) == 1, who
    execute(
        announcing.silos.control,
        """
        INSERT INTO organization_membership (organization_id, member_id, region, user_id, role, version, updated_at)
        VALUES (:organization, 900, 'us', 900, 'member', 1, :now)
        """,
        organization=organization,
        now=announcing.silos.clock.now(),
    )
    refusals = {
        "nothing": grpc.StatusCode.PERMISSION_DENIED,
        "bound to another": grpc.StatusCode.NOT_FOUND,
        "user 900": grpc.StatusCode.PERMISSION_DENIED,
        "user 901": grpc.StatusCode.NOT_FOUND,
    }
    for who, code in refusals.items():
        for name in (str(organization), "acme"):
            with pytest.raises(grpc.RpcError) as caught:
                announcing.ask(who, name)
            assert refusal_of(caught.value).code == code, (who, name)


def test_announcements_end_with_their_retention(announcing: Announcing, clock: FakeClock) -> None:
    control = announcing.silos.control
    control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, "1", "2")))
    clock.advance(2 * 86_400)
    control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, "3")))
    cleaner = Cleaner(control, announcement_tasks(timedelta(days=1)))
    assert cleaner.clean_once() == {"announcements": 2}
    assert announcing.kept() == [3]
    control.transact(lambda t: keep(t, "us", Kind.DEPLOY, items(announcing, "4")))
    assert [each.number for each in announcing.ask().announcements] == [3, 4], "a number is never given again"


def test_a_deleted_organization_leaves_neither_deploys_nor_announcements(announcing: Announcing) -> None:
    announcing.client.create("1.0")
    deployed(announcing.client)
    announcing.silos.drain()
    assert len(announcing.kept()) == 1
    purged(announcing.silos, announcing.organization)
    assert left_in_region(announcing.silos.regions["us"], announcing.organization) == {}
    execute(
        announcing.silos.control,
        "DELETE FROM organization_mapping WHERE organization_id = :id",
        id=announcing.organization,
    )
    for table in ("announcement", "announcement_counter"):
        found = rows(
            announcing.silos.control, f"SELECT * FROM {table} WHERE organization_id = :id", id=announcing.organization
        )
        assert found == []
