"""The `siloway` command against a running stack: its exit codes, its one-line refusals, its JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from siloway_client.export_file import write_export
from tests.stack import RunningStack, run_siloway

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_the_demo_passes_again_and_again_on_one_stack(stack: RunningStack) -> None:
    for objects in ("10000", "400"):
        done = stack.command("demo", "--objects", objects)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout.endswith("All steps were checked.\n")


def test_the_demo_without_a_stack_ends_with_one_line(tmp_path: Path) -> None:
    done = run_siloway("demo", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("siloway: no local stack in .siloway")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("demo", "--objects", "few"), ("import", "organizations", "absent.json")],
    ids=" ".join,
)
def test_wrong_usage_is_told_with_exit_code_two(stack: RunningStack, arguments: tuple[str, ...]) -> None:
    done = stack.command(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr != ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--token", "siloway_" + "x" * 43, "ids", "generate"), "TOKEN_INVALID"),
        (("release", "get", "1", "shop@9"), "ORGANIZATION_NOT_FOUND"),
        (("imports", "get", "17"), "IMPORT_NOT_FOUND"),
        (("release", "create", "1", "bad\tversion", "-p", "x"), "INVALID_FIELD"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_is_one_line_with_its_reason(stack: RunningStack, arguments: tuple[str, ...], reason: str) -> None:
    options = arguments
    if "--token" in arguments:
        # A token of one's own goes with an address of one's own.
        options = ("--control", stack.describe["control"]["public_address"], *arguments)
    done = stack.command(*options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"siloway: {reason}: "), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_silo_whose_programs_run_is_not_closed_as_restored(stack: RunningStack) -> None:
    done = stack.command("restored", "us")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "siloway: programs of this silo still use the database: stop them first\n"
    unknown = stack.command("restored", "nl")
    assert unknown.returncode == 2
    assert "there are: control, de, us" in unknown.stderr


def test_a_deletion_without_grace_promises_no_way_back(stack: RunningStack) -> None:
    assert (
        stack.command("orgs", "provision", "Gone At Once", "--region", "us", "--owner", "ada@example.com").returncode
        == 0
    )
    done = stack.command("orgs", "delete", "gone-at-once", "--yes", "--grace-days", "0")
    assert done.returncode == 0
    assert "undelete" not in done.stdout


def test_a_traceback_comes_only_when_asked_for(stack: RunningStack) -> None:
    asked = stack.command("--debug", "imports", "get", "17")
    assert asked.returncode == 1
    assert "Traceback" in asked.stderr


def test_json_answers_are_one_document_each(stack: RunningStack, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    write_export(file, objects=50, seed=21, organization_slug="in-json")
    run = _document(stack, "import", "organizations", str(file), "--region", "de", "--json")
    assert (run["state"], run["done_count"]) == ("STATE_SUCCEEDED", "50")
    organization = run["organizations"][0]["organization"].removeprefix("organizations/")
    import_id = run["name"].removeprefix("imports/")
    at = ("--region", "de", "--json")
    assert isinstance(_document(stack, "imports", "findings", import_id, *at), list)
    project = _document(stack, "project", "create", organization, "Shop Front", *at)
    assert project["slug"] == "shop-front"
    made = _document(stack, "release", "create", organization, "shop@1", "-p", "shop-front", *at)
    assert made["release"]["version"] == "shop@1"
    assert [each["version"] for each in _document(stack, "release", "list", organization, *at)] == ["shop@1"]
    assert _document(stack, "ids", "describe", organization, *at)["region_number"] == 2


def test_operators_see_the_outbox_and_the_audit_of_each_silo(stack: RunningStack) -> None:
    entries = _document(stack, "audit", "list", "--action", "token.create", "--json")
    assert "bootstrap" in [entry["detail"]["name"] for entry in entries]
    for silo in ("control", "us"):
        assert isinstance(_document(stack, "outbox", "list", "--silo", silo, "--json"), list)
        assert _document(stack, "outbox", "list", "--silo", silo, "--parked", "--json") == []
    refused = stack.command("outbox", "skip", "targets/us/shards/absent/1", "1", "--reason", "of a test")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("siloway: RESOURCE_NOT_FOUND: ")
    replayed = _document(stack, "outbox", "replay", "targets/us/shards/absent/1", "--json")
    assert replayed == {"name": "targets/us/shards/absent/1"}


def _document(stack: RunningStack, *arguments: str) -> Any:
    done = stack.command(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
