"""`siloway import --findings-file`, `--silent` and `--no-prompt`: what scripts get of an import."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from siloway_client.commands.imports import ImportFailed
from tests.integration.imports import rows_of_files as rows

pytestmark = pytest.mark.integration

Run = Callable[..., Result]
_GOOD = [rows.organization(1), rows.team(1, 1, "one")]
_BAD = [*_GOOD, {**rows.team(3, 1, "three"), "fields": {"organization": 1}}]


@pytest.fixture
def findings(tmp_path: Path) -> Path:
    return tmp_path / "findings.json"


def _file(tmp_path: Path, content: list[dict[str, Any]] | str) -> str:
    path = tmp_path / "export.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.usefixtures("working")
def test_nothing_found_is_an_empty_array_and_an_error_an_entry(run: Run, tmp_path: Path, findings: Path) -> None:
    done = run("import", "organizations", _file(tmp_path, _GOOD), "--findings-file", str(findings))
    assert done.exit_code == 0, done.exception
    assert findings.read_bytes() == b"[]\n"
    stopped = run("import", "organizations", _file(tmp_path, _BAD), "--findings-file", str(findings))
    assert isinstance(stopped.exception, ImportFailed)
    text = findings.read_text("ascii")
    (entry,) = json.loads(text)
    assert text == json.dumps([entry], sort_keys=True, indent=2) + "\n"
    assert (entry["finding"], entry["severity"]) == ("RpcImportError", "error")
    assert entry["on"] == {"model": "sentry.team", "ordinal": 2}
    assert (entry["left_pk"], entry["right_pk"]) == (3, None)
    assert [path.name for path in tmp_path.iterdir() if "findings" in path.name] == ["findings.json"]


def test_a_refusal_is_the_one_entry(run: Run, tmp_path: Path, findings: Path) -> None:
    assert run("import", "organizations", _file(tmp_path, "hello"), "--findings-file", str(findings)).exit_code == 1
    (entry,) = json.loads(findings.read_text())
    assert (entry["finding"], entry["kind"]) == ("RpcImportError", "INVALID_UPLOAD")
    assert "not a JSON array" in entry["reason"]


def test_a_findings_file_that_cannot_be_is_refused_before_anything_is_sent(
    run: Run, tmp_path: Path, findings: Path
) -> None:
    source = _file(tmp_path, _GOOD)
    missing = run("import", "organizations", source, "--findings-file", str(tmp_path / "no" / "f.json"))
    early = run("import", "organizations", source, "--findings-file", str(findings), "--no-wait")
    assert (missing.exit_code, early.exit_code) == (2, 2)
    assert "(none)" in run("imports", "list").stdout
    assert not findings.exists()


@pytest.mark.usefixtures("working")
def test_a_silent_import_tells_nothing_and_the_next_command_speaks_again(run: Run, tmp_path: Path) -> None:
    done = run("import", "organizations", _file(tmp_path, _GOOD), "--silent", "--no-prompt")
    assert (done.exit_code, done.output) == (0, "")
    assert "succeeded" in run("imports", "list").stdout
    asked = run("import", "organizations", _file(tmp_path, _GOOD), "--silent", "--json")
    assert json.loads(asked.stdout)["state"] == "STATE_SUCCEEDED"
