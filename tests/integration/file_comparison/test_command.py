"""`siloway compare` with names of files that a region has: what it shows, and its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from siloway_client.__main__ import app
from siloway_client.commands import files
from siloway_client.commands.file_comparison import FilesDiffer
from tests.integration.file_comparison.doors import Doors
from tests.integration.imports import rows_of_files as rows

pytestmark = pytest.mark.integration

Run = Callable[..., Result]
_FILE = [rows.organization(1, "acme"), rows.organization(2, "umbrella"), rows.team(1, 1, "one")]


@pytest.fixture
def run(doors: Doors, tmp_path: Path) -> Run:
    (tmp_path / "token").write_text("operator")
    described = {
        "control": {"public_address": "127.0.0.1:1"},
        "regions": {"us": {"public_address": f"127.0.0.1:{doors.port}"}},
        "token_file": str(tmp_path / "token"),
        "environment_file": "",
    }
    (tmp_path / "stack.json").write_text(json.dumps(described))
    return lambda *arguments: CliRunner().invoke(app, ["--folder", str(tmp_path), "compare", *arguments])


def test_equal_files_end_with_zero_and_others_with_one_and_all_findings(doors: Doors, run: Run, tmp_path: Path) -> None:
    changed = [*_FILE[:2], rows.team(7, 1, "other")]
    left, right = doors.upload(_FILE), doors.upload(changed)
    told = tmp_path / "findings.json"
    equal = run(left, left, "--findings-file", str(told))
    assert (equal.exit_code, equal.stdout, told.read_text()) == (0, "no differences\n", "[]\n")
    differs = run(left, right, "--region", "us", "--findings-file", str(told))
    assert differs.exit_code == 1
    assert isinstance(differs.exception, FilesDiffer)
    assert str(differs.exception) == "1 finding; 1 of 2 organizations are alike"
    assert differs.stdout.startswith(
        "ComparatorFinding(\n    kind: UnequalJSON,\n    on: InstanceID(model: 'sentry.team', ordinal: 1),\n"
        "    left_pk: 1,\n    right_pk: 7,\n    reason: --- left\n"
    )
    (finding,) = json.loads(told.read_text())
    assert (finding["left_pk"], finding["right_pk"]) == (1, 7)
    assert finding["on"] == {"model": "sentry.team", "ordinal": 1}
    assert [path.name for path in tmp_path.glob("*.new")] == []
    machine = run(left, right, "--json", "--limit", "1")
    assert machine.exit_code == 1
    assert [[*part] for part in json.loads(machine.stdout)] == [
        *[["model"]] * 2,
        *[["organization"]] * 2,
        ["finding"],
        ["result"],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("exports/1",),
        ("exports/1", "export.json"),
        ("export.json", "imports/1"),
        ("exports/1", "exports/2", "--limit", "0"),
        ("exports/1", "exports/2", "--decrypt-left-with", "key.pem"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_files_of_this_machine_are_compared_on_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(files, "become", lambda arguments, _: became.append(arguments))
    assert run("./exports/1", "imports/2.json").exit_code == 0
    assert became == [["shared.exports", "compare", "./exports/1", "imports/2.json"]]
