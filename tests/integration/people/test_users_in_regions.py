"""What regions learn of control's users, and control of the regions' members."""

import pytest

from control_silo.memberships.domain import UserOrganization
from region_silo.members.domain import MemberState, Role
from region_silo.organizations import store as organization_store
from shared.errors import LastOwner, PeerRefused, PermissionDenied, UserNotFound
from shared.rpc.call import Caller, acting
from tests.integration.callbacks.silos import execute, pending, rows
from tests.integration.people.crowd import OPERATOR, Crowd

pytestmark = pytest.mark.integration

NOBODY = 987_654_321


def knows(crowd: Crowd, organization: int, user_id: int, at: str = "us") -> bool:
    return crowd.silos.regions[at].read(lambda t: organization_store.knows(t, organization, user_id))


def test_a_member_is_unconfirmed_until_control_has_told_of_the_user(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace")
    crowd.silos.drain()
    member = crowd.add(organization, user)
    assert member.state is MemberState.UNCONFIRMED
    assert knows(crowd, organization, user), "regions serve members while control is away"
    crowd.silos.drain()
    assert crowd.get(member).state is MemberState.ACTIVE
    assert crowd.mirror() == crowd.truth()


def test_a_second_membership_in_the_region_needs_no_word_of_control(crowd: Crowd) -> None:
    first, second, user = crowd.organization(), crowd.organization(slug="other"), crowd.user("grace")
    crowd.add(first, user)
    crowd.silos.drain()
    assert crowd.add(second, user).state is MemberState.ACTIVE


def test_a_user_whom_control_does_not_know_gets_nothing_and_is_refused_afterwards(crowd: Crowd) -> None:
    organization = crowd.organization()
    member = crowd.add(organization, NOBODY)
    crowd.silos.drain()
    assert crowd.get(member).state is MemberState.INACTIVE
    assert not knows(crowd, organization, NOBODY)
    crowd.remove(member)
    with pytest.raises(UserNotFound):
        crowd.add(organization, NOBODY)


def test_a_suspended_users_memberships_do_not_count_until_that_is_taken_back(crowd: Crowd) -> None:
    organization, other, user = crowd.organization(), crowd.organization("de", "other"), crowd.user("grace")
    members = [crowd.add(organization, user), crowd.add(other, user, at="de")]
    crowd.silos.drain()
    crowd.suspend(user)
    crowd.silos.drain()
    assert [crowd.get(members[0]).state, crowd.get(members[1], "de").state] == [MemberState.INACTIVE] * 2
    assert not knows(crowd, organization, user)
    assert not knows(crowd, other, user, "de")
    crowd.suspend(user, suspended=False)
    crowd.silos.drain()
    assert knows(crowd, organization, user)
    assert knows(crowd, other, user, "de")


def test_who_is_suspended_before_the_first_membership_comes_as_suspended(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace")
    crowd.suspend(user)
    member = crowd.add(organization, user)
    crowd.silos.drain()
    assert crowd.get(member).state is MemberState.INACTIVE


def test_a_suspension_that_crosses_the_first_membership_arrives(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace")
    crowd.silos.drain()
    member = crowd.add(organization, user)
    crowd.silos.drain("us")  # control has the mirror's row, and has not told the region yet
    crowd.suspend(user)
    crowd.silos.drain()
    assert crowd.get(member).state is MemberState.INACTIVE


def test_an_unconfirmed_owner_does_not_let_the_last_one_go(crowd: Crowd) -> None:
    organization = crowd.organization()
    (first,) = crowd.listed(organization)
    crowd.add(organization, crowd.user("grace"), role=Role.OWNER)
    with pytest.raises(LastOwner):
        crowd.remove(first)
    crowd.silos.drain()
    crowd.remove(first)


def test_controls_mirror_follows_roles_and_removals(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace")
    member = crowd.add(organization, user)
    crowd.add(organization, email="Ida@Example.com")
    crowd.silos.drain()
    assert crowd.mirror() == crowd.truth()
    crowd.set_role(member, Role.MANAGER)
    crowd.silos.drain()
    assert (organization, member.id, user, None, "manager") in crowd.mirror()
    crowd.remove(member)
    crowd.silos.drain()
    assert crowd.mirror() == crowd.truth()
    assert pending(crowd.silos.control) == 0


def test_a_late_delivery_does_not_bring_a_removed_member_back(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace")
    crowd.silos.drain()
    member = crowd.add(organization, user)
    crowd.silos.transport.seen.clear()
    crowd.silos.drain()
    told = [delivery for target, delivery in crowd.silos.transport.seen if target == "control"]
    crowd.remove(member)
    crowd.silos.drain()
    for delivery in told:
        crowd.silos.transport.receivers["control"](delivery)
    assert crowd.mirror() == crowd.truth()


def test_a_region_cannot_tell_of_members_of_another_regions_organization(crowd: Crowd) -> None:
    organization = crowd.organization()
    execute(
        crowd.silos.control,
        "UPDATE organization_mapping SET region = 'de' WHERE organization_id = :id",
        id=organization,
    )
    crowd.add(organization, crowd.user("grace"))
    report = crowd.silos.drainers["us"].drain_once()
    assert report.refused == 1
    ((told,),) = rows(crowd.silos.regions["us"], "SELECT last_error FROM outbox_message")
    assert PeerRefused.reason in str(told)


def test_a_mapping_that_ends_takes_its_memberships_along(crowd: Crowd) -> None:
    organization = crowd.organization()
    assert crowd.mirror()
    execute(crowd.silos.control, "DELETE FROM organization_mapping WHERE organization_id = :id", id=organization)
    assert crowd.mirror() == set()


def test_a_user_sees_the_own_organizations_of_all_regions_and_nobody_elses(crowd: Crowd) -> None:
    user = crowd.user("grace")
    here, there = crowd.organization(), crowd.organization("de", "other")
    crowd.add(here, user, role=Role.ADMIN)
    crowd.add(there, user, at="de")
    crowd.silos.drain()
    found = [(each.slug, each.region, each.role) for each in crowd.where(user)]
    assert sorted(found) == [("acme", "us", "admin"), ("other", "de", "member")]
    themselves = Caller(f"users/{user}", frozenset({"org:read"}), user_id=user)
    assert crowd.where(user, themselves) == crowd.where(user)
    bound = Caller(f"users/{user}", frozenset({"org:read"}), organization_id=here, user_id=user)
    assert [each.slug for each in crowd.where(user, bound)] == ["acme"]
    for caller in (Caller("users/5", frozenset({"org:read"}), user_id=5), Caller("tokens/5", frozenset({"org:read"}))):
        with pytest.raises(PermissionDenied):
            crowd.where(user, caller)


def test_pages_of_a_users_organizations_leave_none_out_where_a_user_stands_twice(crowd: Crowd) -> None:
    user = crowd.user("grace")
    crowd.add(crowd.organization(), user)
    crowd.add(crowd.organization("de", "other"), user, at="de")
    crowd.silos.drain()
    # A person may stand twice in one organization until two invitations have become one.
    execute(
        crowd.silos.control,
        "INSERT INTO organization_membership SELECT organization_id, member_id + 1000, region, user_id, email, role,"
        " version, updated_at FROM organization_membership WHERE user_id = :user",
        user=user,
    )
    pages: list[UserOrganization] = []
    token = ""
    while not pages or token:
        with acting(OPERATOR, method="/test"):
            page, token = crowd.users.list_organizations(user, page_size=1, token=token)
        pages += page
    assert pages == crowd.where(user)
    assert len({each.key for each in pages}) == len(pages) == 4
