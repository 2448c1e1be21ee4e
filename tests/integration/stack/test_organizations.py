"""`siloway orgs` and `siloway slugs` against the running stack: made, renamed, swapped, found, released."""

import json
import secrets
from typing import Any

import pytest

from tests.stack import RunningStack

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
