"""`siloway members` and `siloway teams` against a region's public door."""

import pytest

from tests.region_commands import Run

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_members_are_added_listed_changed_and_removed(run: Run) -> None:
    owner = run("members", "add", "acme", "--user", "1", "--role", "owner", "--json")
    assert (owner["user"], owner["role"], owner["state"]) == ("users/1", "ROLE_OWNER", "STATE_ACTIVE")
    assert "a@example.com, member" in run("members", "add", "acme", "--email", "A@example.com")
    listed = run("members", "list", "acme")
    assert [line.split()[1:4] for line in listed.splitlines()] == [
        ["who", "role", "state"],
        ["users/1", "owner", "active"],
        ["a@example.com", "member", "invited"],
    ]
    other = run("members", "list", "acme", "--json")[1]["uid"]
    assert "a@example.com, manager" in run("members", "role", "acme", other, "manager")
    assert run("members", "remove", "acme", other) == f"organizations/100/members/{other} removed\n"
    assert len(run("members", "list", "acme", "--json")) == 1


@pytest.mark.parametrize("given", [(), ("--user", "1", "--email", "a@example.com")])
def test_adding_takes_either_a_user_or_an_address(run: Run, given: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("members", "add", "acme", *given)
    assert ended.value.code == 2


def test_teams_are_made_filled_granted_and_deleted(run: Run) -> None:
    member = run("members", "add", "acme", "--user", "1", "--json")["uid"]
    team = run("teams", "create", "acme", "Night Shift", "--json")["uid"]
    assert "night-shift, 1 members" in run("teams", "add", "acme", "night-shift", member)
    assert "projects: none" not in run("teams", "grant", "acme", "night-shift", "web")
    assert run("teams", "get", "acme", team, "--json")["member_count"] == 1
    assert [row["slug"] for row in run("teams", "list", "acme", "--json")] == ["night-shift"]
    assert len(run("members", "list", "acme", "--team", "night-shift", "--json")) == 1
    assert "projects: none" in run("teams", "revoke", "acme", "night-shift", "web")
    assert "0 members" in run("teams", "remove", "acme", team, member)
    assert run("teams", "delete", "acme", team) == f"organizations/100/teams/{team} deleted\n"
    assert run("teams", "list", "acme") == "(none)\n"
