"""Users and their memberships in the running stack: an invitation finds its person, and one sees where one belongs."""

import json
import secrets

import pytest

from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.integration


def test_an_owner_by_e_mail_is_found_when_the_user_is_made_and_sees_where_they_belong(stack: RunningStack) -> None:
    mark = secrets.token_hex(4)
    email, slug = f"ada-{mark}@example.com", f"ada-{mark}"
    made = stack.command("orgs", "provision", "Ada's", "--slug", slug, "--owner", email)
    assert made.returncode == 0, made.stderr
    created = stack.command("users", "create", f"ada-{mark}", "--email", email, "--json")
    assert created.returncode == 0, created.stderr
    user = json.loads(created.stdout)["uid"]
    wait_until(
        lambda: (
            stack.value("control", "SELECT count(*) FROM organization_membership WHERE user_id = %s", int(user)) == 1
        ),
        "the invitation did not find its person",
    )
    found = json.loads(stack.command("users", "organizations", user, "--json").stdout)
    assert [(each["slug"], each["region"], each["role"]) for each in found] == [(slug, "us", "owner")]
    accepted = "SELECT principal FROM audit_entry WHERE action = 'member.accept_invitation' AND detail ->> 'user' = %s"
    assert stack.value("us", accepted, f"users/{user}") == "silos/control"
