"""Invited addresses become their users' memberships, one member for one person."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from control_silo.deletions.usecases import tell_region
from region_silo.members.domain import MemberState, Role
from shared.deletion import DeletionStage
from tests.integration.callbacks.silos import execute, rows
from tests.integration.people.crowd import Crowd

pytestmark = pytest.mark.integration


def people(crowd: Crowd, organization: int) -> list[tuple[int | None, Role | None]]:
    """The members besides the owner who was provisioned."""
    return [(member.user_id, member.role) for member in crowd.listed(organization)[1:]]


def set_deletion(crowd: Crowd, organization: int, stage: DeletionStage, *, version: int) -> None:
    """As control tells the region."""
    crowd.silos.control.transact(
        lambda transaction: transaction.execute(
            text(
                """
                UPDATE organization_mapping SET deletion = :stage, deletion_version = :version, deleted_at = :at,
                    purge_at = :at WHERE organization_id = :id
                """
            ),
            {
                "stage": stage.value,
                "version": version,
                "id": organization,
                "at": None if stage is DeletionStage.NONE else transaction.now + timedelta(days=30),
            },
        )
    )
    crowd.silos.control.transact(lambda transaction: tell_region(transaction, organization, "us"))
    crowd.silos.drain()


def test_an_invitation_becomes_the_users_when_control_has_one_with_that_address(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace", "Grace@Example.com")
    member = crowd.add(organization, email="grace@example.COM", role=Role.ADMIN)
    assert member.state is MemberState.INVITED
    crowd.silos.drain()
    accepted = crowd.get(member)
    assert (accepted.user_id, accepted.state, accepted.role) == (user, MemberState.ACTIVE, Role.ADMIN)
    assert crowd.mirror() == crowd.truth()


def test_an_invitation_becomes_the_users_when_the_user_is_made_later(crowd: Crowd) -> None:
    organization, other = crowd.organization(), crowd.organization("de", "other")
    crowd.add(organization, email="grace@example.com")
    crowd.add(other, email="grace@example.com", role=Role.MANAGER, at="de")
    crowd.silos.drain()
    user = crowd.user("grace", "grace@example.com")
    crowd.silos.drain()
    assert people(crowd, organization) == [(user, Role.MEMBER)]
    assert [(member.user_id, member.role) for member in crowd.listed(other, "de")[1:]] == [(user, Role.MANAGER)]
    assert crowd.mirror() == crowd.truth()


def test_an_organization_that_is_to_be_deleted_gains_no_member_until_it_is_kept_after_all(crowd: Crowd) -> None:
    organization = crowd.organization()
    crowd.add(organization, email="grace@example.com", role=Role.ADMIN)
    crowd.silos.drain()
    set_deletion(crowd, organization, DeletionStage.PENDING, version=1)
    user = crowd.user("grace", "grace@example.com")
    crowd.silos.drain()
    assert people(crowd, organization) == [(None, Role.ADMIN)]
    set_deletion(crowd, organization, DeletionStage.NONE, version=2)
    assert people(crowd, organization) == [(user, Role.ADMIN)]
    crowd.silos.drain()
    assert crowd.mirror() == crowd.truth()


def test_an_organization_provisioned_by_e_mail_gets_its_owner_when_the_user_is_made(crowd: Crowd) -> None:
    organization = crowd.organization(owner_user_id=None, owner_email="Grace@example.com")
    (invited,) = crowd.listed(organization)
    assert invited.state is MemberState.INVITED
    user = crowd.user("grace", "grace@example.com")
    crowd.silos.drain()
    (owner,) = crowd.listed(organization)
    assert (owner.id, owner.user_id, owner.role, owner.state) == (invited.id, user, Role.OWNER, MemberState.ACTIVE)
    team = rows(crowd.silos.regions["us"], "SELECT organization_member_id FROM organization_member_team")
    assert team == [(owner.id,)]


@pytest.mark.parametrize("invited_first", [True, False])
def test_a_user_and_an_invitation_of_the_same_person_become_one_with_the_higher_role(
    crowd: Crowd, invited_first: bool
) -> None:
    organization, user = crowd.organization(), crowd.user("grace", "grace@example.com")
    crowd.silos.drain()
    for invites in (invited_first, not invited_first):
        if invites:
            crowd.add(organization, email="grace@example.com", role=Role.MANAGER)
        else:
            crowd.add(organization, user, role=Role.MEMBER)
    crowd.silos.drain()
    assert people(crowd, organization) == [(user, Role.MANAGER)]
    assert crowd.mirror() == crowd.truth()
    told = rows(crowd.silos.regions["us"], "SELECT target FROM audit_entry WHERE action = 'member.accept_invitation'")
    assert told == [(f"organizations/{organization}/members/{crowd.listed(organization)[1].id}",)]


def test_the_teams_of_both_stay(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace", "grace@example.com")
    us = crowd.silos.regions["us"]
    (known,) = rows(us, "SELECT id FROM team")
    execute(
        us,
        """ INSERT INTO team (id, organization_id, slug, name, status, idp_provisioned, date_added)
        VALUES (5, :organization, 'five', 'Five', 0, false, now()) """,
        organization=organization,
    )
    invited = crowd.add(organization, email="grace@example.com")
    member = crowd.add(organization, user)
    for team, link, active in ((5, invited.id, True), (known[0], invited.id, True), (known[0], member.id, False)):
        execute(
            us,
            """ INSERT INTO organization_member_team (organization_id, organization_member_id, team_id, is_active)
            VALUES (:organization, :member, :team, :active) """,
            organization=organization,
            member=link,
            team=team,
            active=active,
        )
    crowd.silos.drain()
    links = rows(
        us, "SELECT team_id, is_active FROM organization_member_team WHERE organization_member_id = :id", id=member.id
    )
    assert sorted(links) == sorted([(5, True), (known[0], True)])
    assert people(crowd, organization) == [(user, Role.MEMBER)]


@pytest.mark.parametrize(
    "spoiled",
    ["invite_status = 1", "token_expires_at = CAST(:now AS timestamptz) - interval '1 second'"],
    ids=["only asks", "run out"],
)
def test_what_nobody_offers_any_more_is_not_given(crowd: Crowd, spoiled: str) -> None:
    organization = crowd.organization()
    member = crowd.add(organization, email="grace@example.com", role=Role.OWNER)
    statement = f"UPDATE organization_member SET {spoiled} WHERE id = :id"
    now = {"now": crowd.silos.clock.now()} if ":now" in spoiled else {}
    execute(crowd.silos.regions["us"], statement, id=member.id, **now)
    crowd.silos.drain()
    crowd.user("grace", "grace@example.com")
    crowd.silos.drain()
    assert crowd.get(member).user_id is None


def test_an_address_that_a_file_gave_to_an_account_wins_no_invitation(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace", "grace@example.com")
    execute(crowd.silos.control, "UPDATE user_account SET is_unclaimed = true WHERE id = :id", id=user)
    crowd.add(organization, email="grace@example.com")
    crowd.silos.drain()
    assert people(crowd, organization) == [(None, Role.MEMBER)]


def test_an_address_of_two_users_is_nobodys(crowd: Crowd) -> None:
    organization = crowd.organization()
    for name in ("grace", "ida"):
        crowd.user(name, "both@example.com")
    crowd.add(organization, email="both@example.com")
    crowd.silos.drain()
    assert people(crowd, organization) == [(None, Role.MEMBER)]


def test_a_suspended_users_invitation_is_taken_but_does_not_count(crowd: Crowd) -> None:
    organization, user = crowd.organization(), crowd.user("grace", "grace@example.com")
    crowd.suspend(user)
    member = crowd.add(organization, email="grace@example.com")
    crowd.silos.drain()
    assert (crowd.get(member).user_id, crowd.get(member).state) == (user, MemberState.INACTIVE)


def test_an_invitation_that_is_accepted_does_not_run_out(crowd: Crowd) -> None:
    organization = crowd.organization(owner_user_id=None, owner_email="grace@example.com")
    user = crowd.user("grace", "grace@example.com")
    crowd.silos.drain()
    crowd.silos.clock.advance(timedelta(days=40).total_seconds())  # type: ignore[attr-defined]
    crowd.suspend(user)
    crowd.suspend(user, suspended=False)
    crowd.silos.drain()
    (owner,) = crowd.listed(organization)
    assert (owner.user_id, owner.state) == (user, MemberState.ACTIVE)
