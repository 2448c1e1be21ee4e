"""The rules about members and teams, without a database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_silo.members.domain import (
    Authority,
    HeldMember,
    MemberDraft,
    Role,
    TeamDraft,
    check_member_draft,
    check_owner_remains,
    check_team_draft,
)
from shared.errors import InvalidArgument, LastOwner, PermissionDenied
from shared.names import MemberName, TeamName, parse_member, parse_team

_ROWS = st.lists(st.tuples(st.sampled_from([*Role, None]), st.booleans()), min_size=1, max_size=6).map(
    lambda rows: [HeldMember(number, role, stands) for number, (role, stands) in enumerate(rows, 1)]
)


@given(_ROWS, st.data())
def test_whoever_leaves_an_organization_that_had_a_standing_owner_still_has_one(
    rows: list[HeldMember], data: st.DataObject
) -> None:
    leaving = data.draw(st.sampled_from(rows))
    try:
        check_owner_remains(1, rows, leaving)
    except LastOwner:
        assert leaving.role is Role.OWNER
        return
    stay = [row for row in rows if row is not leaving]
    if any(row.role is Role.OWNER for row in rows):
        assert any(row.role is Role.OWNER for row in stay)
    if any(row.role is Role.OWNER and row.stands for row in rows):
        assert any(row.role is Role.OWNER and row.stands for row in stay)


@given(_ROWS)
def test_a_standing_owner_may_leave_when_another_one_stays(rows: list[HeldMember]) -> None:
    leaving = HeldMember(100, Role.OWNER, stands=True)
    check_owner_remains(1, [*rows, leaving, HeldMember(101, Role.OWNER, stands=True)], leaving)


@pytest.mark.parametrize("role", [*Role, None])
def test_owners_and_managers_administer_and_owners_alone_touch_owners(role: Role | None) -> None:
    authority = Authority(role, acts_as_user=True)
    if role in (Role.OWNER, Role.MANAGER):
        authority.check_administers()
    else:
        with pytest.raises(PermissionDenied):
            authority.check_administers()
    authority.check_touches(Role.MANAGER, Role.MEMBER, None)
    if role is not Role.OWNER:
        with pytest.raises(PermissionDenied):
            authority.check_touches(Role.MEMBER, Role.OWNER)
    else:
        authority.check_touches(Role.OWNER)


def test_a_token_without_a_user_has_the_authority_of_its_scopes() -> None:
    authority = Authority(None, acts_as_user=False)
    authority.check_administers()
    authority.check_touches(Role.OWNER)


@pytest.mark.parametrize("email", ["a", "@b", "a@", "a b@c", "a@b@c", "a@b\n", "a\0@b"])
def test_a_text_that_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_member_draft(MemberDraft(Role.MEMBER, email=email))
    assert [violation.field for violation in caught.value.violations] == ["member.email"]


def test_each_broken_rule_of_a_team_is_one_violation() -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_team_draft(TeamDraft(name=" ", slug="settings"))
    assert [violation.field for violation in caught.value.violations] == ["team.display_name", "team.slug"]
    with pytest.raises(InvalidArgument):
        check_team_draft(TeamDraft(name="Ops", slug="123"))


def test_names_of_members_carry_an_id_and_those_of_teams_an_id_or_a_slug() -> None:
    assert parse_member("organizations/acme/members/7", "name") == MemberName("acme", 7)
    assert parse_team("organizations/100/teams/7", "team") == TeamName(100, 7)
    assert parse_team("organizations/100/teams/ops", "team") == TeamName(100, "ops")
    for name in ("organizations/acme/members/ops", "organizations/acme/teams/7", "organizations/acme/members/7/x", ""):
        with pytest.raises(InvalidArgument):
            parse_member(name, "name")
