"""Who may make and change a release: the rules of has_release_permission, through the public door.

Numbers: the error table's rows and the acceptance cases.
"""

import threading
from typing import Any

import grpc
import pytest
from siloway.region.v1 import release_service_pb2 as release_pb
from sqlalchemy import text

from shared.database import Transaction
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.releases.acme import (
    MEMBER,
    OWNER,
    Acme,
    changed,
    reads_and_changes,
    wire,
)
from tests.refusals import refused
from tests.region_client import new_id

pytestmark = pytest.mark.integration


def test_one_accessible_project_is_enough_to_read_and_all_are_needed_to_change(acme: Acme) -> None:
    member = acme.user(MEMBER)
    unknown = [wire(call) for call in reads_and_changes(member, "1.0")[2:]]
    acme.features.client.create("1.0", ("web", "api"))
    # What is read does not name the project that the member may not see.
    assert list(member.get("1.0").projects) == [f"organizations/100/projects/{acme.projects['web']}"]
    assert not member.commits("1.0").commits
    before = changed(acme.features)
    assert [wire(call) for call in reads_and_changes(member, "1.0")[2:]] == unknown
    assert changed(acme.features) == before
    acme.add_team(11, "api")
    acme.join(11, MEMBER)
    assert member.update("1.0", ref="x").ref == "x"
    assert len(member.get("1.0").projects) == 2


def test_release_row_02_an_etag_is_not_told_to_who_may_not_read(acme: Acme) -> None:
    member = acme.user(MEMBER)

    def update() -> object:
        release = release_pb.Release(name="organizations/acme/releases/1.0", ref="x", etag="1-1")
        return member.release.UpdateRelease(release_pb.UpdateReleaseRequest(release=release, request_id=new_id()))

    unknown = wire(update)
    acme.features.client.create("1.0", ("api",))
    assert wire(update) == unknown


def test_release_row_20_a_project_that_is_not_accessible_looks_like_an_unknown_one_in_create(acme: Acme) -> None:
    member = acme.user(MEMBER)
    hidden = wire(lambda: member.create("1.0", ("web", "api")))
    assert wire(lambda: member.create("1.0", ("web", "nothing"))) == hidden
    assert wire(lambda: member.create("1.0", ("web", str(acme.projects["api"])))) == hidden
    with refused() as found:
        member.create("1.0", ("api", "web", "cli"))
    assert (found[0].code, found[0].fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["projects[0]", "projects[2]"],
    )
    assert changed(acme.features) == []
    assert member.create("1.0", ("web",)).release.version == "1.0"


def test_release_row_21_a_release_with_a_project_that_the_caller_lacks_is_refused_without_naming_it(acme: Acme) -> None:
    acme.features.client.create("1.0", ("api", "cli"))
    before = changed(acme.features)
    with refused() as found:
        acme.user(MEMBER).create("1.0", ("web",))
    refusal = found[0]
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_ACCESSIBLE")
    told = f"{refusal.message} {refusal.metadata} {refusal.violations} {refusal.resource}"
    assert not any(str(acme.projects[slug]) in told or slug in told for slug in ("api", "cli"))
    assert changed(acme.features) == before
    assert acme.features.value("SELECT flags FROM project WHERE slug = 'web'") == 0
    assert acme.user(OWNER).create("1.0", ("web",)).release.projects


def test_a_user_may_do_what_its_memberships_allow_in_each_organization(acme: Acme) -> None:
    features = acme.features
    features.add_organization(200, "globex")
    features.add_project("shop", "organizations/200")
    features.client.create("2.0", ("shop",), parent="organizations/globex")
    features.client.create("1.0", ("api",))
    acme.add_member(MEMBER, "owner", 200)
    member = acme.user(MEMBER)
    assert member.update("2.0", ref="x", organization="globex").ref == "x"
    assert member.list() == []


def test_a_project_that_comes_while_the_caller_waits_for_the_release_counts(acme: Acme) -> None:
    """The permission is looked at again under the release's lock: a wait must not end with an old answer."""
    features, member = acme.features, acme.user(MEMBER)
    features.client.create("1.0", ("web",))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(wire(lambda: member.update("1.0", ref="x"))))

    def attach_meanwhile(transaction: Transaction) -> None:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        thread.start()
        wait_for_a_blocked_session(features.database)
        transaction.execute(
            text(
                "INSERT INTO release_project (organization_id, project_id, release_id, new_groups)"
                " SELECT 100, :project, id, 0 FROM release"
            ),
            {"project": acme.projects["api"]},
        )

    features.database.transact(attach_meanwhile)
    thread.join(20)
    assert [answer[0] for answer in answers] == [grpc.StatusCode.NOT_FOUND]
    assert features.value("SELECT ref FROM release") is None


def test_a_change_without_permission_waits_for_nobody(acme: Acme) -> None:
    features = acme.features
    features.client.create("1.0", ("api",))

    def update_meanwhile(transaction: Transaction) -> str:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        with refused() as found:
            acme.user(MEMBER).update("1.0", ref="x", timeout=10)
        return found[0].reason

    assert features.database.transact(update_meanwhile) == "RELEASE_NOT_FOUND"


def test_a_repeat_of_a_change_gets_the_first_answer_after_access_has_gone(acme: Acme) -> None:
    acme.features.client.create("1.0")
    member, request_id = acme.user(MEMBER), new_id()
    first = member.update("1.0", ref="x", request_id=request_id)
    acme.features.rows("DELETE FROM organization_member_team")
    assert member.update("1.0", ref="x", request_id=request_id) == first
    with refused() as found:
        member.update("1.0", ref="y")
    assert found[0].reason == "RELEASE_NOT_FOUND"
