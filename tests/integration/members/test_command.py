"""`siloway members` and `siloway teams` against a region's public door."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from siloway_client.__main__ import app
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Run = Callable[..., Any]


@pytest.fixture
def run(features: RegionFeatures, tmp_path: Path) -> Run:
    """Runs a command as the administrator; its JSON document when there is one, else its text."""
    token_file, nowhere = tmp_path / "token", "127.0.0.1:1"
    token_file.write_text("administrator")
    stack = {
        "control": {"public_address": nowhere},
        "regions": {"us": {"public_address": f"127.0.0.1:{features.server.port}"}},
        "token_file": str(token_file),
        "environment_file": nowhere,
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))

    def command(*arguments: str) -> Any:
        result: Result = CliRunner().invoke(app, ["--folder", str(tmp_path), *arguments])
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    return command


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
