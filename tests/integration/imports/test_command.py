"""`siloway import` and `siloway imports` against a region's door: what they show, and their exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from siloway_client.commands.imports import ImportFailed
from siloway_client.refusal import refusal_of
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors

pytestmark = pytest.mark.integration

Run = Callable[..., Result]
_GOOD = [rows.organization(1), rows.team(1, 1, "one"), rows.team(2, 1, "two")]
_BAD = [*_GOOD, {**rows.team(3, 1, "three"), "fields": {"organization": 1}}]


def _file(tmp_path: Path, objects: list[dict[str, Any]]) -> str:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(objects))
    return str(path)


@pytest.mark.usefixtures("working")
def test_an_import_that_errors_stop_exits_with_1_and_is_retried_with_leave_to_go_on(run: Run, tmp_path: Path) -> None:
    stopped = run("import", "organizations", _file(tmp_path, _BAD), "--json")
    document = json.loads(stopped.stdout)
    assert (stopped.exit_code, document["state"]) == (1, "STATE_STOPPED")
    assert isinstance(stopped.exception, ImportFailed)
    assert "1 errors stopped it" in str(stopped.exception)
    name = document["name"]
    assert run("imports", "watch", name).exit_code == 1
    retried = run("imports", "retry", name, "--continue-on-error")
    assert isinstance(retried.exception, ImportFailed), "rows are missing, and the exit code must say so"
    assert "succeeded" in retried.stdout
    assert "1 of them errors" in retried.stdout
    assert run("imports", "retry", name, "--stop-on-error", "--no-wait").exit_code == 0


@pytest.mark.usefixtures("working")
def test_leave_to_go_on_may_be_given_at_once_and_a_file_without_errors_exits_with_0(run: Run, tmp_path: Path) -> None:
    partly = run("import", "organizations", _file(tmp_path, _BAD), "--continue-on-error")
    assert (partly.exit_code, "succeeded" in partly.stdout) == (1, True)
    done = run("import", "organizations", _file(tmp_path, _GOOD))
    assert done.exit_code == 0, done.exception
    assert "acme" in done.stdout
    name = done.stdout.split(":")[0]
    assert run("imports", "watch", name).exit_code == 0


def test_an_import_is_paused_resumed_and_cancelled(run: Run, tmp_path: Path) -> None:
    queued = run("import", "organizations", _file(tmp_path, _GOOD), "--no-wait", "--json")
    assert queued.exit_code == 0
    name = json.loads(queued.stdout)["name"]
    number = name.removeprefix("imports/")
    assert f"{name}: paused" in run("imports", "pause", number).stdout
    watched = run("imports", "watch", name)
    assert (watched.exit_code, "imports resume" in str(watched.exception)) == (1, True)
    assert f"{name}: queued" in run("imports", "resume", name).stdout
    assert json.loads(run("imports", "cancel", name, "--json").stdout)["state"] == "STATE_CANCELLED"
    assert run("imports", "watch", name).exit_code == 1
    refused: Any = run("imports", "resume", name).exception
    assert refusal_of(refused).reason == "IMPORT_STATE"
    assert run("imports", "retry", name, "--never").exit_code == 2


def test_verify_exits_with_0_when_all_is_as_in_the_file_and_with_1_when_not(
    run: Run, doors: Doors, working: None, tmp_path: Path
) -> None:
    answer = run("import", "organizations", _file(tmp_path, _GOOD), "--json")
    name = json.loads(answer.stdout)["name"]
    equal = run("verify", name)
    assert equal.exit_code == 0, equal.output
    assert "3 rows compared" in equal.output
    doors.stack.change_in("region", "UPDATE team SET name = 'other' WHERE slug = 'one'")
    differs = run("imports", "verify", name, "--json")
    assert isinstance(differs.exception, ImportFailed)
    difference, result = json.loads(differs.stdout)
    assert (difference["difference"]["model"], difference["difference"]["pk"]) == ("sentry.team", "1")
    assert result["result"]["difference_count"] == "1"
    assert run("verify").exit_code == 2


@pytest.mark.usefixtures("working")
def test_an_import_is_undone_and_what_stays_is_told(run: Run, doors: Doors, tmp_path: Path) -> None:
    done = run("import", "organizations", _file(tmp_path, _GOOD), "--json")
    name = json.loads(done.stdout)["name"]
    doors.stack.change_in("region", "UPDATE team SET name = 'renamed' WHERE slug = 'one'")
    partly = run("undo", name)
    assert isinstance(partly.exception, ImportFailed)
    assert (partly.exit_code, str(partly.exception)) == (1, f"{name} is undone but for 2 rows")
    assert "KEPT_CHANGED: sentry.team 1 (pk 1): row" in partly.stdout
    assert "KEPT_REFERRED: sentry.organization 1 (pk 1): row" in partly.stdout
    assert f"{name}: undone, 1 rows undone, 2 stay\n" in partly.stdout
    doors.stack.change_in("region", "UPDATE team SET name = 'one' WHERE slug = 'one'")
    whole = run("imports", "undo", name, "--json")
    (document,) = json.loads(whole.stdout)
    assert (whole.exit_code, document["state"], document["undone_count"]) == (0, "STATE_UNDONE", "3")
    assert run("undo").exit_code == 2
    assert run("undo", "imports/1").exit_code == 1
    assert "3 rows undone, 0 stay" in run("imports", "get", name).stdout
