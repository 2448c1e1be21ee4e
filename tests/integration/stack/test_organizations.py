"""`siloway orgs` and `siloway slugs` against the running stack: made, renamed, swapped, found, released."""

import json
import secrets
from typing import Any

import pytest

from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.integration


def answer(stack: RunningStack, *arguments: str) -> Any:
    done = stack.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_organizations_are_made_renamed_and_swapped_by_the_command(stack: RunningStack) -> None:
    mark = secrets.token_hex(4)
    first, second = f"one-{mark}", f"two-{mark}"
    made = answer(stack, "orgs", "provision", "One", "--slug", first, "--owner", "ada@example.com")
    other = answer(stack, "orgs", "provision", "Two", "--slug", second, "-r", "de", "--owner", "ada@example.com")
    assert (made["state"], made["slug"], other["slug"]) == ("STATE_SUCCEEDED", first, second)
    assert answer(stack, "slugs", "check", first.upper())["availability"] == "AVAILABILITY_TAKEN"

    swapped = stack.command("orgs", "swap", f"{first}={second}", f"{second}={first}")
    assert (swapped.returncode, swapped.stdout) == (0, "done\n")
    assert answer(stack, "orgs", "get", first)["region"] == "de"

    renamed = stack.command("orgs", "rename", first, f"new-{mark}")
    assert renamed.stdout == f"done {other['organization']} new-{mark}\n"
    assert answer(stack, "orgs", "get", first)["slug"] == f"new-{mark}"
    assert answer(stack, "slugs", "get", first)["use_count"] == "1"
    assert f"new-{mark}" in stack.command("orgs", "list", "-r", "de", "--limit", "1000").stdout
    taken = stack.command("orgs", "rename", second, f"new-{mark}")
    assert (taken.returncode, taken.stderr.split(":")[1]) == (1, " SLUG_TAKEN")

    assert stack.command("slugs", "release", first).stdout == f"{first} is free\n"
    assert "free" in stack.command("slugs", "check", first).stdout
    assert first not in stack.command("slugs", "list", "--limit", "1000").stdout
    change = made["name"].removeprefix("organizationChanges/")
    assert answer(stack, "orgs", "change", change) == made


def test_an_organization_is_deleted_undeleted_and_purged_by_the_command(stack: RunningStack) -> None:
    slug = f"gone-{secrets.token_hex(4)}"
    organization = answer(stack, "orgs", "provision", "Gone", "--slug", slug, "--owner", "ada@example.com")[
        "organization"
    ]
    uid = organization.removeprefix("organizations/")
    asked = stack.command("orgs", "delete", slug)
    assert asked.returncode == 1
    assert f"{organization} ({slug}, 'Gone') in region us is read only from now on" in asked.stderr

    deleted = answer(stack, "orgs", "delete", slug, "--yes")
    assert (deleted["state"], deleted["name"]) == ("STATE_PENDING_DELETION", organization)
    wait_until(
        lambda: stack.value("us", "SELECT deletion FROM organization WHERE id = %s", uid) == 1,
        "the region was not told",
    )
    assert slug in stack.command("orgs", "list", "--limit", "1000", "--deleted").stdout
    assert stack.command("orgs", "undelete", slug).stdout == f"{organization} is kept\n"

    assert stack.command("orgs", "delete", uid, "--yes", "--grace-days", "0").returncode == 0
    mapped = "SELECT count(*) FROM organization_mapping WHERE organization_id = %s"
    wait_until(lambda: stack.value("control", mapped, uid) == 0, "it was not purged")
    assert stack.value("us", "SELECT count(*) FROM organization WHERE id = %s", uid) == 0
    assert stack.value("us", "SELECT count(*) FROM team WHERE organization_id = %s", uid) == 0
    assert "rests for a while" in stack.command("slugs", "check", slug).stdout
